package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"holdfast/engines"
	"holdfast/engines/dump"
)

// mayCreateAccounts refuses a user who could not create accounts, where they belong
// to the service.
func (t *target) mayCreateAccounts(ctx context.Context, g grants) error {
	if !t.accounts {
		return nil
	}
	var lines []string
	need := func(missing bool, privilege, pattern, option string) error {
		if !missing {
			return nil
		}
		line, err := t.control.grantLine(ctx, privilege, pattern)
		lines = append(lines, line+option)
		return err
	}
	err := errors.Join(
		need(!g.allow("CREATE USER", ""), "CREATE USER", "", ""),
		need(!g.allow("SELECT", "mysql"), "SELECT", "mysql", ""),
		need(!g.mayGive(t.database), "ALL PRIVILEGES", escapePattern(t.database), " WITH GRANT OPTION"))
	if err != nil || len(lines) == 0 {
		return err
	}
	return fmt.Errorf("user %s at %s %s cannot create users and roles (accounts: true of service %s): %s",
		t.user, t.product(), t.address, t.service, strings.Join(lines, "; "))
}

// createAccounts creates those accounts of the snapshot that are missing, and gives
// them what they may do. What exists is not touched. j names an account before it is
// created, so that a successor can drop it.
func (t *target) createAccounts(ctx context.Context, p parts, content engines.Content, j *journal) (notes []string, err error) {
	switch {
	case p.accounts.Name == "" && t.accounts:
		return []string{"the snapshot holds no users and roles: it was taken without accounts: true"}, nil
	case p.accounts.Name == "":
		return nil, nil
	case !t.accounts:
		return []string{"the snapshot's users and roles were not looked at: with accounts: true, a restore creates those that are missing"}, nil
	}
	exist, err := t.existing(ctx)
	if err != nil {
		return nil, err
	}
	file := content.Open(ctx, p.accounts)
	defer file.Close()
	var left []string
	for s := newScript(file); ; {
		st, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = t.account(ctx, string(st.text), exist, j, &left)
		}
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", t.service, dump.AccountsFile, err)
		}
	}
	if len(j.Accounts) > 0 {
		notes = append(notes, "created, because the server did not have them: "+said(j.Accounts...))
	}
	if len(left) > 0 {
		notes = append(notes, "left as they are, because the server has them: "+said(left...))
	}
	return notes, t.writeJournal(ctx, *j)
}

// account executes one statement of the stream, if it is about an account that this
// restore creates.
func (t *target) account(ctx context.Context, text string, exist map[string]bool, j *journal, left *[]string) error {
	if name, ok := createdBy(text); ok {
		if exist[name] {
			*left = append(*left, name)
			return nil
		}
		j.Accounts = append(j.Accounts, name)
		return t.createAccount(ctx, text, j)
	}
	if strings.HasPrefix(text, "SET NAMES ") {
		return nil
	}
	g, ok := parseGiven(text)
	switch {
	case !ok || g.reach == onOther:
		return fmt.Errorf("statement %.40q: %w", text, errScript)
	case !slices.Contains(j.Accounts, "USER "+g.to) && !slices.Contains(j.Accounts, "ROLE "+g.to):
		return nil
	case g.reach == onObject:
		j.Grants = append(j.Grants, g.text)
		return nil
	}
	return t.do(ctx, g.in(t.database))
}

// createdBy is the account that a statement creates, as the journal names it.
func createdBy(text string) (name string, ok bool) {
	q := parse([]byte(text))
	user, named := q.name(2)
	switch {
	case !q.is(0, "CREATE") || !named:
		return "", false
	case q.is(1, "ROLE") && len(q.tokens) == 3:
		return "ROLE " + quote(user), true
	case q.is(1, "USER") && q.is(3, "@"):
		host, isHost := q.name(4)
		return "USER " + quote(user) + "@" + quote(host), isHost
	}
	return "", false
}

// said names accounts of a journal in messages: user `a`@`%`, role `b`.
func said(names ...string) string {
	var list []string
	for _, name := range names {
		kind, account, _ := strings.Cut(name, " ")
		list = append(list, strings.ToLower(kind)+" "+account)
	}
	return strings.Join(list, ", ")
}

// createAccount creates the last account of the journal. No error shows the
// statement, which has the hash of a password.
func (t *target) createAccount(ctx context.Context, text string, j *journal) error {
	if err := t.writeJournal(ctx, *j); err != nil {
		return err
	}
	name := j.Accounts[len(j.Accounts)-1]
	err := t.do(ctx, text)
	switch number(err) {
	case errCannotUser: // it is somebody else's, so nobody may drop it
		j.Accounts = j.Accounts[:len(j.Accounts)-1]
		return errors.Join(fmt.Errorf("%s was created by somebody else at this moment: restore again", said(name)), t.writeJournal(ctx, *j))
	case errSyntax:
		return fmt.Errorf("%s: %s %s does not know how %s wrote it down: restore without accounts: true", said(name), t.product(), t.address, t.taken)
	}
	return err
}

// existing names the accounts that the server has, as the journal does.
func (t *target) existing(ctx context.Context) (map[string]bool, error) {
	role := "is_role"
	if t.control.server.mysql {
		role = "'N'"
	}
	list := map[string]bool{}
	err := t.control.each(ctx, "SELECT User, Host, "+role+" FROM mysql.user", func(rows *sql.Rows) error {
		var a account
		var is string
		err := rows.Scan(&a.user, &a.host, &is)
		a.role = is == "Y"
		list[a.kind()+" "+a.String()] = true
		return err
	})
	return list, err
}

// dropAccounts drops what a restore created that did not come to its end.
func (t *target) dropAccounts(ctx context.Context, j journal) error {
	for _, name := range slices.Backward(j.Accounts) {
		kind, account, _ := strings.Cut(name, " ")
		if err := t.do(ctx, "DROP "+kind+" IF EXISTS "+account); err != nil {
			return err
		}
	}
	return nil
}
