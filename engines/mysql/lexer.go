package mysql

import (
	"bytes"
	"slices"
	"strings"
)

// token is one word of SQL, as far as this package needs to tell them apart.
type token struct {
	kind       tokenKind
	start, end int // in the text
}

type tokenKind uint8

const (
	wordToken   tokenKind = iota // keyword, number or plain name
	quotedToken                  // `name`
	stringToken                  // 'text' or "text"
	markToken                    // any other single byte
)

// tokens cuts SQL into words; white space and comments are left out. It is
// total: what never ends, ends with the text.
func tokens(text []byte) []token {
	var list []token
	for at := 0; at < len(text); {
		c := text[at]
		switch {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			at++
		case c == '#', c == '-' && bytes.HasPrefix(text[at:], []byte("-- ")):
			at = after(text, at, "\n")
		case bytes.HasPrefix(text[at:], []byte("/*")):
			at = after(text, at+2, "*/")
		case c == '`':
			end := quoted(text, at, false)
			list, at = append(list, token{quotedToken, at, end}), end
		case c == '\'' || c == '"':
			end := quoted(text, at, true)
			list, at = append(list, token{stringToken, at, end}), end
		case inWord(c):
			end := at + 1
			for end < len(text) && inWord(text[end]) {
				end++
			}
			list, at = append(list, token{wordToken, at, end}), end
		default:
			list, at = append(list, token{markToken, at, at + 1}), at+1
		}
	}
	return list
}

func inWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// after returns the place behind the next end, or the end of the text.
func after(text []byte, from int, end string) int {
	if i := bytes.Index(text[min(from, len(text)):], []byte(end)); i >= 0 {
		return from + i + len(end)
	}
	return len(text)
}

// quoted returns the place behind the quoted thing that begins at start.
func quoted(text []byte, start int, escapes bool) int {
	for at := start + 1; at < len(text); at++ {
		switch {
		case escapes && text[at] == '\\':
			at++
		case text[at] != text[start]:
		case at+1 < len(text) && text[at+1] == text[start]:
			at++
		default:
			return at + 1
		}
	}
	return len(text)
}

// parsed is a statement cut into tokens.
type parsed struct {
	text   []byte
	tokens []token
}

func parse(text []byte) parsed { return parsed{text, tokens(text)} }

// is reports whether token i is that word or mark, in any case.
func (q parsed) is(i int, word string) bool {
	return i >= 0 && i < len(q.tokens) && q.tokens[i].kind != quotedToken && q.tokens[i].kind != stringToken &&
		strings.EqualFold(string(q.text[q.tokens[i].start:q.tokens[i].end]), word)
}

// name returns the name that token i stands for, if it can be one.
func (q parsed) name(i int) (string, bool) {
	if i < 0 || i >= len(q.tokens) {
		return "", false
	}
	t := q.tokens[i]
	text := string(q.text[t.start:t.end])
	switch t.kind {
	case quotedToken:
		return strings.ReplaceAll(strings.TrimSuffix(text[1:], "`"), "``", "`"), true
	case wordToken:
		return text, true
	}
	return "", false
}

// named reports whether token i is a quoted name, and that one.
func (q parsed) named(i int, name string) bool {
	found, ok := q.name(i)
	return ok && q.tokens[i].kind == quotedToken && found == name
}

// without returns the text without the tokens in drop and what stands between
// each of them and the next.
func (q parsed) without(drop map[int]bool) []byte {
	if len(drop) == 0 {
		return q.text
	}
	var out []byte
	at := 0
	for i := range q.tokens {
		if !drop[i] {
			continue
		}
		out = append(out, q.text[at:q.tokens[i].start]...)
		at = len(q.text)
		if i+1 < len(q.tokens) {
			at = q.tokens[i+1].start
		}
	}
	return append(out, q.text[at:]...)
}

// unqualified takes `database`. away from names where it stands before the name
// of a table, sequence or function. In a view, two names joined by a dot may also
// be a table and its column, so there only those are touched that cannot be.
func unqualified(text []byte, database string, view bool) []byte {
	if !bytes.Contains(text, []byte(quote(database))) {
		return text
	}
	q := parse(text)
	drop := map[int]bool{}
	for i := range q.tokens {
		if !q.named(i, database) || !q.is(i+1, ".") || q.is(i-1, ".") {
			continue
		}
		if _, ok := q.name(i + 2); !ok {
			continue
		}
		if !view || q.is(i+3, ".") || q.is(i+3, "(") || q.isTable(i) {
			drop[i], drop[i+1] = true, true
		}
	}
	return q.without(drop)
}

// requalified lets names with the database's name before them name those of
// another one. text is no view.
func requalified(text []byte, database, other string) []byte {
	q := parse(text)
	var out []byte
	at := 0
	for i, t := range q.tokens {
		if q.named(i, database) && q.is(i+1, ".") && !q.is(i-1, ".") {
			out = append(append(out, text[at:t.start]...), quote(other)...)
			at = t.end
		}
	}
	return append(out, text[at:]...)
}

// qualifies reports whether the database's name stands before another one. Where a table
// has that name too (ambiguous), it may be a column that it stands before: only what
// cannot be one counts.
func (q parsed) qualifies(database string, ambiguous bool) bool {
	for i := range q.tokens {
		name, ok := q.name(i)
		if !ok || name != database || !q.is(i+1, ".") || q.is(i-1, ".") {
			continue
		}
		if !ambiguous || q.is(i+3, ".") || q.is(i+3, "(") || q.isTable(i) {
			return true
		}
	}
	return false
}

// isTable reports whether the name at token i stands where a statement names a table or
// procedure: after FROM or JOIN and the like, parentheses between them left out.
func (q parsed) isTable(i int) bool {
	i--
	for q.is(i, "(") {
		i--
	}
	return slices.ContainsFunc([]string{"from", "join", "straight_join", "into", "update", "table", "call"},
		func(word string) bool { return q.is(i, word) })
}
