package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// result writes what the command was asked for to stdout: doc as one JSON
// document under --json, and else what text writes. Times in doc are UTC.
func (app *env) result(doc any, text func(io.Writer) error) error {
	if !app.flags.JSON {
		return text(app.stdout)
	}
	encoder := json.NewEncoder(app.stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(doc)
}

// localTime writes a time for people, in their zone, which it names.
func (app *env) localTime(t time.Time) string {
	return t.In(app.zone).Format("2006-01-02 15:04:05 MST")
}

// bold makes text stand out, on terminals that can.
func (app *env) bold(s string) string {
	if !app.color || app.flags.NoColor {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

// size writes a number of bytes in binary units: 1.5 GiB.
func size(n uint64) string { return humanize.IBytes(n) }

// count writes a number with commas: 12,345.
func count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// several counts things: 1 problem, 12 problems.
func several[N int | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(uint64(n)) + " " + thing + "s"
}

// severalAre is several with the verb: 1 thing is, 12 things are.
func severalAre[N int | uint64](n N, thing string) string {
	if n == 1 {
		return several(n, thing) + " is"
	}
	return several(n, thing) + " are"
}

// span writes a duration as people say it: 0.4s, 12s, 3m05s, 2h04m.
func span(d time.Duration) string {
	switch seconds := int(d.Round(time.Second).Seconds()); {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	case seconds < 60:
		return fmt.Sprintf("%ds", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%dm%02ds", seconds/60, seconds%60)
	default:
		return fmt.Sprintf("%dh%02dm", seconds/3600, seconds/60%60)
	}
}

// brief writes a short duration: 0.8ms, 45ms, 1.2s.
func brief(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// printable returns s for a terminal: control characters and bytes that are no
// text are shown, not obeyed. File names come from strangers.
func printable(s string) string {
	isPlain := func(r rune) bool { return r != utf8.RuneError && unicode.IsPrint(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !isPlain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case isPlain(r):
			b.WriteString(s[:n])
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		s = s[n:]
	}
	return b.String()
}
