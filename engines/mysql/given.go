package mysql

import (
	"fmt"
	"strings"
)

// reach is what a privilege is given on.
type reach uint8

const (
	onServer   reach = iota // all, or it is a role
	onDatabase              // a pattern of names of databases
	onObject                // a table, columns of it, or a routine
	onOther                 // what this package does not know
)

// given is one line of SHOW GRANTS, without what it says about passwords and limits:
// that stands in the CREATE USER.
type given struct {
	text  string
	to    string // the account, as account.String has it
	reach reach
	name  string // of the database, or its pattern
	from  int    // where in text the name of the database begins
	until int    // where that of the object does, or * ends
}

// parseGiven reads a GRANT, REVOKE or SET DEFAULT ROLE; ok is false for anything else.
func parseGiven(line string) (g given, ok bool) {
	q := parse([]byte(line))
	preposition := "TO"
	switch {
	case q.is(0, "REVOKE"): // of MySQL's partial_revokes
		preposition = "FROM"
	case q.is(0, "SET") && q.is(1, "DEFAULT") && q.is(2, "ROLE"):
		preposition = "FOR"
	case !q.is(0, "GRANT"):
		return g, false
	}
	to := 1
	for to < len(q.tokens) && !q.is(to, preposition) {
		to++
	}
	user, ok := q.name(to + 1)
	if !ok {
		return g, false
	}
	last := to + 1
	g.to = quote(user)
	if q.is(last+1, "@") {
		host, _ := q.name(last + 2)
		g.to, last = g.to+"@"+quote(host), last+2
	}
	g.text = line[:q.tokens[min(last, len(q.tokens)-1)].end]
	for i := last; i < len(q.tokens); i++ {
		if q.is(i+1, "OPTION") && (q.is(i, "GRANT") || q.is(i, "ADMIN")) {
			g.text += " WITH " + strings.ToUpper(line[q.tokens[i].start:q.tokens[i].end]) + " OPTION"
		}
	}
	g.parseReach(q, to)
	return g, true
}

// parseReach reads what stands between ON and TO.
func (g *given) parseReach(q parsed, to int) {
	on := 1
	for on < to && !q.is(on, "ON") {
		on++
	}
	if on == to {
		return // a role
	}
	at := on + 1
	for q.is(at, "TABLE") || q.is(at, "FUNCTION") || q.is(at, "PROCEDURE") || q.is(at, "PACKAGE") || q.is(at, "BODY") {
		at++
	}
	if q.is(at, "*") {
		if at+1 == to {
			g.reach, g.from, g.until = onDatabase, q.tokens[at].start, q.tokens[at].end
		}
		return
	}
	name, isName := q.name(at)
	switch {
	case isName && at+1 == to:
		g.reach, g.from, g.until = onObject, q.tokens[at].start, q.tokens[at].start
	case !isName || !q.is(at+1, ".") || at+3 != to:
		g.reach = onOther
	case q.is(at+2, "*"):
		g.reach, g.name, g.from, g.until = onDatabase, name, q.tokens[at].start, q.tokens[at+2].end
	default:
		g.reach, g.name, g.from, g.until = onObject, name, q.tokens[at].start, q.tokens[at+2].start
	}
}

// isNothing reports whether it only says that the account exists.
func (g given) isNothing() bool { return g.text == fmt.Sprintf("GRANT USAGE ON *.* TO %s", g.to) }

// unnamed is the statement without the name of the database: it then is about the one
// in use.
func (g given) unnamed() string {
	if g.reach == onDatabase {
		return g.text[:g.from] + "*" + g.text[g.until:]
	}
	return g.text[:g.from] + g.text[g.until:]
}

// in is the statement about database, whatever it was about.
func (g given) in(database string) string {
	if g.reach != onDatabase {
		return g.text
	}
	return g.text[:g.from] + quote(escapePattern(database)) + ".*" + g.text[g.until:]
}
