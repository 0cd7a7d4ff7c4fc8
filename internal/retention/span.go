package retention

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Span is a length of time as calendars count it: a month is as long as the
// month is. One of its fields is positive; a Span with none is no time at all.
type Span struct {
	hours, days, weeks, months, years int
}

// Forever is longer than every other span.
var Forever = Span{years: maxCount + 1}

// maxCount bounds the number in a span.
const maxCount = 10_000

// Hours, Days, Weeks, Months and Years make a span of n of them.
func Hours(n int) Span  { return Span{hours: n} }
func Days(n int) Span   { return Span{days: n} }
func Weeks(n int) Span  { return Span{weeks: n} }
func Months(n int) Span { return Span{months: n} }
func Years(n int) Span  { return Span{years: n} }

// units by the words that stand for them; the first is how a span is written.
var units = []struct {
	words []string
	of    func(*Span) *int
}{
	{[]string{"hour", "hours", "h"}, func(s *Span) *int { return &s.hours }},
	{[]string{"day", "days", "d"}, func(s *Span) *int { return &s.days }},
	{[]string{"week", "weeks", "w"}, func(s *Span) *int { return &s.weeks }},
	{[]string{"month", "months", "mo"}, func(s *Span) *int { return &s.months }},
	{[]string{"year", "years", "y"}, func(s *Span) *int { return &s.years }},
}

// errSpan says what ParseSpan takes.
var errSpan = errors.New(`expected a number and a unit, such as 36h, 7d, "6 weeks", 6mo or 1y`)

// ParseSpan reads a positive number with a unit: "36h", "7d", "6 weeks", "6mo",
// "1 year". A bare "m" is refused: it could be minutes.
func ParseSpan(text string) (Span, error) {
	digits := 0
	for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
		digits++
	}
	n, err := strconv.Atoi(text[:digits])
	if err != nil || n < 1 || n > maxCount {
		return Span{}, errSpan
	}
	unit := strings.TrimPrefix(text[digits:], " ")
	for _, u := range units {
		for _, word := range u.words {
			if word == unit {
				var s Span
				*u.of(&s) = n
				return s, nil
			}
		}
	}
	return Span{}, errSpan
}

// String writes the span for people: "6 weeks".
func (s Span) String() string {
	if s == Forever {
		return "any age"
	}
	for _, u := range units {
		switch n := *u.of(&s); {
		case n == 1:
			return "1 " + u.words[0]
		case n > 1:
			return fmt.Sprintf("%d %s", n, u.words[1])
		}
	}
	return "no time"
}

// Longer reports whether s lasts longer than other, wherever they begin, months
// being taken for as long as they are on average.
func (s Span) Longer(other Span) bool { return s.average() > other.average() }

func (s Span) average() float64 {
	const year = 365.2425 * 24
	return float64(s.hours) + 24*float64(s.days+7*s.weeks) + year/12*float64(s.months) + year*float64(s.years)
}

// before returns the moment a span ago. A month before the 31st is the last day
// of a month that has no 31st.
func (s Span) before(t time.Time) time.Time {
	t = t.Add(-time.Duration(s.hours)*time.Hour).AddDate(0, 0, -s.days-7*s.weeks)
	back := s.months + 12*s.years
	if back == 0 {
		return t
	}
	then := t.AddDate(0, -back, 0)
	if then.Day() != t.Day() { // it ran over into the next month
		then = then.AddDate(0, 0, -then.Day())
	}
	return then
}

// interval numbers the calendar interval of the span's length that t is in. Weeks
// begin on Monday, and several of a unit are counted from the beginning of 1970.
func (s Span) interval(t time.Time) int {
	year, month, day := t.Date()
	days := int(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60))
	switch {
	case s.hours > 0:
		return floor(24*days+t.Hour(), s.hours)
	case s.days > 0:
		return floor(days, s.days)
	case s.weeks > 0:
		return floor(days-firstMonday, 7*s.weeks)
	case s.months > 0:
		return floor(12*(year-1970)+int(month)-1, s.months)
	}
	return floor(year-1970, max(s.years, 1))
}

// firstMonday is 1970-01-05, in days since 1970-01-01.
const firstMonday = 4

// floor divides and rounds down, also below zero.
func floor(a, b int) int {
	if a < 0 {
		return (a - b + 1) / b
	}
	return a / b
}

// name says which interval that is: "the week from 2026-11-16".
func (s Span) name(interval int) string {
	epoch := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	switch {
	case s.hours > 0:
		return "the " + s.length() + " from " + epoch.Add(time.Duration(interval*s.hours)*time.Hour).Format("2006-01-02 15:00")
	case s.days > 0:
		return "the " + s.length() + " from " + epoch.AddDate(0, 0, interval*s.days).Format("2006-01-02")
	case s.weeks > 0:
		return "the " + s.length() + " from " + epoch.AddDate(0, 0, firstMonday+7*s.weeks*interval).Format("2006-01-02")
	case s.months > 0:
		return "the " + s.length() + " from " + epoch.AddDate(0, interval*s.months, 0).Format("2006-01")
	}
	return "the " + s.length() + " from " + epoch.AddDate(interval*s.years, 0, 0).Format("2006")
}

// length is String without a number where that is one: "week", "2 weeks".
func (s Span) length() string { return strings.TrimPrefix(s.String(), "1 ") }
