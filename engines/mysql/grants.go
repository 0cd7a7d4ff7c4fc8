package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// grant is one line of SHOW GRANTS that holds for a whole database or for all.
type grant struct {
	privileges []string // "SELECT"; "ALL PRIVILEGES"
	pattern    string   // of database names, as LIKE has them; "" for all
	option     bool     // to give them to others
}

type grants []grant

// grants reads what the session's user may do, roles in use included.
func (s *session) grants(ctx context.Context) (grants, error) {
	lines, err := s.strings(ctx, "SHOW GRANTS")
	if err != nil {
		return nil, err
	}
	var list grants
	for _, line := range lines {
		if g, ok := parseGrant(line); ok {
			list = append(list, g)
		}
	}
	return list, nil
}

// parseGrant reads GRANT a, b ON `shop`.* TO …; grants on single tables, columns
// and routines, and roles, are none that count here.
func parseGrant(line string) (grant, bool) {
	q := parse([]byte(line))
	if !q.is(0, "GRANT") {
		return grant{}, false
	}
	last := len(q.tokens) - 1
	g := grant{option: q.is(last-1, "GRANT") && q.is(last, "OPTION")}
	i := 1
	for words := ""; i < len(q.tokens); i++ {
		if q.is(i, ",") || q.is(i, "ON") {
			g.privileges = append(g.privileges, words)
			words = ""
			if q.is(i, "ON") {
				break
			}
			continue
		}
		word, _ := q.name(i)
		words = strings.TrimSpace(words + " " + strings.ToUpper(word))
	}
	switch {
	case q.is(i+1, "*") && q.is(i+2, ".") && q.is(i+3, "*"):
		return g, true
	case q.is(i+2, ".") && q.is(i+3, "*"):
		pattern, ok := q.name(i + 1)
		g.pattern = pattern
		return g, ok && pattern != ""
	}
	return grant{}, false
}

// allow reports whether privilege is granted on database, or with "" on all.
func (g grants) allow(privilege, database string) bool {
	for _, one := range g {
		if !slices.Contains(one.privileges, privilege) && !slices.Contains(one.privileges, "ALL PRIVILEGES") {
			continue
		}
		if one.pattern == "" || database != "" && like(one.pattern, database) {
			return true
		}
	}
	return false
}

// mayGive reports whether privileges on database can be given to others.
func (g grants) mayGive(database string) bool {
	return slices.ContainsFunc(g, func(one grant) bool {
		return one.option && (one.pattern == "" || like(one.pattern, database))
	})
}

// missing returns those of privileges that are not granted on database.
func (g grants) missing(database string, privileges ...string) []string {
	return slices.DeleteFunc(slices.Clone(privileges), func(p string) bool { return g.allow(p, database) })
}

// like matches name with a pattern of LIKE, in any case.
func like(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	switch c := pattern[0]; {
	case c == '%':
		return like(pattern[1:], name) || name != "" && like(pattern, name[1:])
	case c == '\\' && len(pattern) > 1:
		pattern = pattern[1:]
	case c == '_':
		return name != "" && like(pattern[1:], name[1:])
	}
	return name != "" && strings.EqualFold(pattern[:1], name[:1]) && like(pattern[1:], name[1:])
}

// grantLine is the statement that gives the session's user privileges on the
// databases of a pattern.
func (s *session) grantLine(ctx context.Context, privileges, pattern string) (string, error) {
	grantee, err := s.grantee(ctx)
	if err != nil {
		return "", err
	}
	on := "*.*"
	if pattern != "" {
		on = quote(pattern) + ".*"
	}
	return fmt.Sprintf("GRANT %s ON %s TO %s", privileges, on, grantee), nil
}

// grantee is the session's account, as a GRANT names it.
func (s *session) grantee(ctx context.Context) (string, error) {
	var user string
	if err := s.one(ctx, "SELECT CURRENT_USER()", &user); err != nil {
		return "", err
	}
	name, host := user, ""
	if at := strings.LastIndexByte(user, '@'); at >= 0 {
		name, host = user[:at], user[at+1:]
	}
	return literal(name) + "@" + literal(host), nil
}

// escapePattern makes a pattern that matches exactly name.
func escapePattern(name string) string {
	return strings.NewReplacer("_", "\\_", "%", "\\%").Replace(name)
}
