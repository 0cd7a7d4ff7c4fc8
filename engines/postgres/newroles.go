package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/engines"
	"holdfast/engines/dump"
)

// mark is the comment on a role that a restore created, until the restore is done:
// so it can be told, also by another process, whose it is. It is made in one
// transaction with the role.
type mark struct {
	Token   string // of the restore
	Comment string // that belongs on the role
}

// unmark returns the comment that belongs on a role, and the token of the restore
// that is at work on it, if any.
func unmark(comment string) (text, token string) {
	var m mark
	if json.Unmarshal([]byte(comment), &m) == nil && engines.CheckToken(m.Token) == nil {
		return m.Comment, m.Token
	}
	return comment, ""
}

func commentOnRole(name, text string) string {
	if text == "" {
		return "COMMENT ON ROLE " + quote(name) + " IS NULL"
	}
	return "COMMENT ON ROLE " + quote(name) + " IS " + literal(text)
}

// mayCreateRoles refuses a user who could not, where roles belong to the service.
func (t *target) mayCreateRoles(ctx context.Context) error {
	if !t.accounts {
		return nil
	}
	may, err := t.any().yes(ctx, "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
	if err == nil && !may {
		err = fmt.Errorf("user %s at PostgreSQL %s may not create roles (accounts: true of service %s): ALTER ROLE %s CREATEROLE", t.user, t.address, t.service, quote(t.user))
	}
	return err
}

// createRoles creates those roles of the snapshot that are missing, all or none, with
// what belongs to them. What exists is not touched.
func (l *loading) createRoles(ctx context.Context) (notes []string, err error) {
	switch {
	case l.accounts.Name == "" && l.target.accounts:
		return []string{"the snapshot holds no roles: it was taken without accounts: true"}, nil
	case l.accounts.Name == "":
		return nil, nil
	case !l.target.accounts:
		return []string{"the snapshot's roles were not looked at: with accounts: true, a restore creates those that are missing"}, nil
	}
	file := l.content.Open(ctx, l.accounts)
	defer file.Close()
	statements, err := statementsOf(file)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", l.service, dump.AccountsFile, err)
	}
	s := l.any()
	rows, err := s.rows(ctx, "SELECT rolname FROM pg_roles")
	if err != nil {
		return nil, err
	}
	missing := map[string]bool{} // by label; those that exist are false
	var created, left []string
	for i, st := range statements {
		if st.comment == "" && i > 0 {
			statements[i].comment = statements[i-1].comment
		}
		if strings.HasPrefix(st.text, "CREATE ROLE ") {
			exists := slices.ContainsFunc(rows, func(row []string) bool { return labelOfRole(row[0]) == st.comment })
			missing[st.comment] = !exists
			if name := strings.TrimPrefix(st.comment, "Role "); exists {
				left = append(left, name)
			} else {
				created = append(created, name)
			}
		}
	}
	var complaints []string
	err = s.transaction(ctx, func() error {
		for _, st := range statements {
			if !missing[st.comment] {
				continue
			}
			complaint, err := l.aboutRole(ctx, s, st)
			if err != nil {
				return fmt.Errorf("%s/%s, %s: %w", l.service, dump.AccountsFile, st.comment, err)
			}
			if complaint != "" {
				complaints = append(complaints, complaint)
			}
		}
		return nil
	})
	for _, said := range []struct {
		what string
		list []string
	}{{"roles created, because the server did not have them: ", created}, {"roles left as they are, because the server has them: ", left},
		{"what could not be restored of roles: ", complaints}} {
		if len(said.list) > 0 {
			notes = append(notes, said.what+strings.Join(said.list, ", "))
		}
	}
	return notes, err
}

// aboutRole executes one statement about a role that this restore creates. The role
// itself must come to be; of what belongs to it, what the user may not do is told.
func (l *loading) aboutRole(ctx context.Context, s *session, st statement) (complaint string, err error) {
	name := unquote(strings.TrimPrefix(st.comment, "Role "))
	switch {
	case strings.HasPrefix(st.text, "CREATE ROLE "+quote(name)):
		return "", errors.Join(l.do(ctx, s, st.text), l.markRole(ctx, s, name, ""))
	case strings.HasPrefix(st.text, "COMMENT ON ROLE "+quote(name)+" IS '"):
		text := strings.TrimSuffix(strings.TrimPrefix(st.text, "COMMENT ON ROLE "+quote(name)+" IS '"), "'")
		return "", l.markRole(ctx, s, name, strings.ReplaceAll(text, "''", "'"))
	case strings.HasPrefix(st.text, "ALTER ROLE "+quote(name)+" SET "), strings.HasPrefix(st.text, "GRANT "):
		err := s.attempt(ctx, st.text)
		if code(err) == "" {
			return "", err
		}
		return fmt.Sprintf("%s: %v", st.text, brief(err)), nil
	}
	return "", fmt.Errorf("statement %.40q: %w", st.text, errScript)
}

func (t *target) markRole(ctx context.Context, s *session, name, comment string) error {
	text, err := json.Marshal(mark{t.token, comment})
	if err != nil {
		return err
	}
	return t.do(ctx, s, commentOnRole(name, string(text)))
}

// eachRole calls role for every role that this restore has created, with the comment that
// belongs on it, in one transaction.
func (t *target) eachRole(ctx context.Context, role func(s *session, name, comment string) error) error {
	s := t.any()
	rows, err := s.rows(ctx, "SELECT rolname, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE '{%"+t.token+"%}' ORDER BY oid DESC")
	if err != nil || len(rows) == 0 {
		return err
	}
	return s.transaction(ctx, func() error {
		for _, row := range rows {
			comment, token := unmark(row[1])
			if token != t.token {
				continue
			}
			if err := role(s, row[0], comment); err != nil {
				return err
			}
		}
		return nil
	})
}

// keepRoles makes what this restore has created the server's own.
func (t *target) keepRoles(ctx context.Context) error {
	return t.eachRole(ctx, func(s *session, name, comment string) error {
		return t.do(ctx, s, commentOnRole(name, comment))
	})
}

// dropRoles drops what a restore created that did not come to its end. A role that
// somebody has given something else by now stays.
func (t *target) dropRoles(ctx context.Context) error {
	return t.eachRole(ctx, func(s *session, name, comment string) error {
		if t.step != nil {
			if err := t.step("DROP ROLE " + quote(name)); err != nil {
				return err
			}
		}
		err := s.attempt(ctx, "DROP ROLE "+quote(name))
		if code(err) == codeDependent {
			return t.do(ctx, s, commentOnRole(name, comment))
		}
		return err
	})
}
