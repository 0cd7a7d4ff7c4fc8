package mysql

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// column is one stored column of a table.
type column struct {
	name    string
	kind    string // data_type: "varchar"
	full    string // column_type: "enum('a','b')"
	charset string // "" for what is not text
	period  string // "ROW START" or "ROW END", where history is kept
	// forever is the ROW END of a row that is valid; "" in all other columns.
	forever string
}

// generated is the kind of a column that stands for a whole row, where none is stored:
// only that there is a row has to be saved.
const generated = "generated"

// encoder appends a value, which is not NULL and comes as the server's text of it, as an
// SQL literal that gives exactly this value again when it is inserted into the column.
type encoder func(dst, text []byte) ([]byte, error)

// selected is the expression that reads the column.
func (c column) selected(from server) string {
	switch {
	case c.kind == generated:
		return "1"
	case (c.kind == "float" || c.kind == "double") && from.mysql:
		return quote(c.name) + "*1e0" // CAST is later, + would lose the sign of a zero
	case c.kind == "float" || c.kind == "double":
		return "CAST(" + quote(c.name) + " AS DOUBLE)" // FLOAT as such prints six digits
	case c.numbered() && c.kind == "set":
		return "CAST(" + quote(c.name) + " AS UNSIGNED)" // + makes a DOUBLE of it on MySQL
	case c.numbered():
		return quote(c.name) + "+0"
	}
	return quote(c.name)
}

// numbered reports whether the column is an ENUM or a SET with a member ”, whose text
// does not say which value it is: that member, alone or beside others, or none.
func (c column) numbered() bool {
	return (c.kind == "enum" || c.kind == "set") && (strings.Contains(c.full, "(''") || strings.Contains(c.full, ",'',") || strings.Contains(c.full, ",'')"))
}

// encoder chooses by the column's type. Types that it does not know are text of
// ASCII characters, or else bytes.
func (c column) encoder() encoder {
	if c.forever != "" {
		return appendUntil(c.forever)
	}
	switch c.kind {
	case generated:
		return func(dst, _ []byte) ([]byte, error) { return append(dst, "DEFAULT"...), nil }
	case "json": // of MySQL; it is UTF-8, and taken as nothing else
		c.charset = "utf8mb4"
	case "float":
		return appendFloat
	case "bit":
		return appendBits
	case "enum":
		if c.numbered() {
			return appendInteger
		}
		return appendMember(c.text())
	case "set":
		if c.numbered() {
			return appendInteger
		}
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year":
		return appendInteger
	case "double":
		return appendDouble
	case "decimal":
		return appendDigits
	}
	return c.text()
}

// text chooses by the column's character set. The session reads what is stored,
// unconverted; the text is written in UTF-8 where that converts back to the same
// bytes for certain.
func (c column) text() encoder {
	switch c.charset {
	case "utf8mb4", "utf8mb3", "utf8":
		return func(dst, text []byte) ([]byte, error) { return appendText(dst, text, text, c.charset), nil }
	case "latin1":
		return func(dst, text []byte) ([]byte, error) { return appendText(dst, text, fromLatin1(text), c.charset), nil }
	case "":
		return appendBinary
	}
	wide := c.charset == "ucs2" || strings.HasPrefix(c.charset, "utf16") || c.charset == "utf32" ||
		c.charset == "swe7" || c.charset == "sjis" || c.charset == "cp932"
	return func(dst, text []byte) ([]byte, error) {
		if len(text) == 0 || !wide && ascii(text) {
			return appendText(dst, text, text, c.charset), nil
		}
		if len(text) >= largeValue {
			return appendBase64(dst, text, c.charset), nil
		}
		dst = append(append(append(dst, '_'), c.charset...), " 0x"...)
		return hex.AppendEncode(dst, text), nil
	}
}

// appendUntil appends until when a row was valid. That of one that still is differs
// between servers, and a row with another's would be history, so it is left to the
// server that reads it.
func appendUntil(forever string) encoder {
	return func(dst, text []byte) ([]byte, error) {
		if string(text) == forever {
			return append(dst, "DEFAULT"...), nil
		}
		return appendString(dst, text), nil
	}
}

// appendDigits appends a number as the server writes it.
func appendDigits(dst, text []byte) ([]byte, error) { return append(dst, text...), nil }

// appendInteger appends an integer without the zeros that ZEROFILL and YEAR put in front.
func appendInteger(dst, text []byte) ([]byte, error) {
	for len(text) > 1 && text[0] == '0' {
		text = text[1:]
	}
	return append(dst, text...), nil
}

// appendFloat appends a FLOAT, read as DOUBLE, in as few digits as give it back.
// The server reads digits as DOUBLE first: where rounding twice ends elsewhere, or
// the digits lie above the largest FLOAT, all of them are written.
func appendFloat(dst, text []byte) ([]byte, error) {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return nil, fmt.Errorf("the server gave %q as a FLOAT", text)
	}
	short := strconv.AppendFloat(dst, v, 'g', -1, 32)
	if back, err := strconv.ParseFloat(string(short[len(dst):]), 64); err == nil && float64(float32(back)) == v && math.Abs(back) <= math.MaxFloat32 {
		return appendShortest(dst, v, 32), nil
	}
	return appendShortest(dst, v, 64), nil
}

func appendDouble(dst, text []byte) ([]byte, error) {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return nil, fmt.Errorf("the server gave %q as a DOUBLE", text)
	}
	return appendShortest(dst, v, 64), nil
}

// appendShortest appends a number in as few digits as give it back in that many bits.
// -0 would be an integer, which has no sign.
func appendShortest(dst []byte, v float64, bits int) []byte {
	dst = strconv.AppendFloat(dst, v, 'g', -1, bits)
	if v == 0 && math.Signbit(v) {
		dst = append(dst, "e0"...)
	}
	return dst
}

func appendBits(dst, text []byte) ([]byte, error) {
	return hex.AppendEncode(append(dst, "0x"...), text), nil
}

// appendMember appends a member of an ENUM that has no member ”: that is the
// number 0, no member at all.
func appendMember(encode encoder) encoder {
	return func(dst, text []byte) ([]byte, error) {
		if len(text) == 0 {
			return append(dst, '0'), nil
		}
		return encode(dst, text)
	}
}

// appendBinary appends bytes, or the text of types like DATETIME and UUID.
func appendBinary(dst, text []byte) ([]byte, error) {
	if lengthens(text, text) {
		return appendBase64(dst, text, ""), nil
	}
	if !ascii(text) || bytes.IndexByte(text, 0) >= 0 {
		dst = append(dst, "_binary"...)
	}
	return appendString(dst, text), nil
}

// largeValue is from where on, in bytes, a value is looked through for how long it will
// become: the statement that it stands in must be one that the server takes.
const largeValue = 1 << 20

// besideLarge is the room that a large value leaves for what comes behind it, in bytes: it
// is not to be copied for that.
const besideLarge = 16 << 10

// lengthens reports whether a large value, which as a string is written, would become so
// much longer by what must be escaped that base64 is shorter.
func lengthens(value, written []byte) bool {
	return len(value) >= largeValue && len(written)+escaped(written) > base64.StdEncoding.EncodedLen(len(value))
}

// appendText appends a value in a character set, which as UTF-8 is written.
func appendText(dst, value, written []byte, charset string) []byte {
	if lengthens(value, written) {
		return appendBase64(dst, value, charset)
	}
	return appendString(dst, written)
}

// appendBase64 appends bytes, or with a character set the text that they are in it.
func appendBase64(dst, value []byte, charset string) []byte {
	const begin, end = "FROM_BASE64('", "')"
	dst = slices.Grow(dst, base64.StdEncoding.EncodedLen(len(value))+besideLarge)
	if charset == "" {
		return append(base64.StdEncoding.AppendEncode(append(dst, begin...), value), end...)
	}
	dst = base64.StdEncoding.AppendEncode(append(append(dst, "CONVERT("...), begin...), value)
	return append(append(append(append(dst, end...), " USING "...), charset...), ')')
}

// Eight bytes at a time (https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord).
const (
	each  = 0x0101010101010101
	highs = 0x80 * each
)

func ascii(text []byte) bool {
	for ; len(text) >= 8; text = text[8:] {
		if binary.LittleEndian.Uint64(text)&highs != 0 {
			return false
		}
	}
	for _, c := range text {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// escapes are the bytes that stand for others after a backslash.
var escapes = [256]byte{0: '0', '\n': 'n', '\r': 'r', 0x1a: 'Z', '\\': '\\', '\'': '\''}

// appendString appends a string literal: one line, whatever the text holds.
func appendString(dst, text []byte) []byte {
	if len(text) >= largeValue {
		dst = slices.Grow(dst, len(text)+escaped(text)+besideLarge)
	}
	dst = append(dst, '\'')
	from := 0
	for i := nextEscape(text, 0); i < len(text); i = nextEscape(text, i+1) {
		dst = append(append(dst, text[from:i]...), '\\', escapes[text[i]])
		from = i + 1
	}
	return append(append(dst, text[from:]...), '\'')
}

// escaped is how many bytes of text appendString has to escape.
func escaped(text []byte) (n int) {
	for i := nextEscape(text, 0); i < len(text); i = nextEscape(text, i+1) {
		n++
	}
	return n
}

// nextEscape is where the next byte that has to be escaped is, from i on; len(text) if there
// is none.
func nextEscape(text []byte, i int) int {
	for ; i < len(text); i++ {
		for i+8 <= len(text) && plain(binary.LittleEndian.Uint64(text[i:])) {
			i += 8
		}
		if i < len(text) && escapes[text[i]] != 0 {
			return i
		}
	}
	return len(text)
}

// plain reports whether none of eight bytes is a control character, a quote or a backslash.
// It may say that one is, behind such a byte, when none is.
func plain(word uint64) bool {
	quote, backslash := word^'\''*each, word^'\\'*each
	return ((word-0x20*each)&^word|(quote-each)&^quote|(backslash-each)&^backslash)&highs == 0
}

// fromLatin1 converts what MariaDB calls latin1: Windows-1252 with its five gaps
// filled by the control characters of the same number.
func fromLatin1(text []byte) []byte {
	if ascii(text) {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/8+8)
	for _, c := range text {
		switch {
		case c < 0x80:
			out = append(out, c)
		case c < 0xa0:
			out = utf8.AppendRune(out, windows1252[c-0x80])
		default:
			out = utf8.AppendRune(out, rune(c))
		}
	}
	return out
}

var windows1252 = [32]rune{
	0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d, 0x017d, 0x8f,
	0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
}
