package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// A server that writes a binary log, and does not trust those who create functions
// (log_bin_trust_function_creators, off unless somebody sets it), takes functions and
// triggers from users with SUPER only, since a replica would execute them as an
// administrator; MariaDB does not even let others drop a trigger. MySQL to 8.1 takes
// triggers from those with SET_USER_ID, too. Functions that do not say that they always give
// the same, or change nothing, it takes from nobody. Procedures, packages, views and events
// are taken. That is what MariaDB 10.11 and MySQL 8.0.12 and 8.4 do.

// trusts reports whether functions and triggers are taken from whoever may create
// routines.
func (s *session) trusts(ctx context.Context) (bool, error) {
	settings := map[string]string{}
	err := s.each(ctx, "SHOW GLOBAL VARIABLES WHERE variable_name IN ('log_bin', 'log_bin_trust_function_creators')", func(rows *sql.Rows) error {
		var name, value string
		err := rows.Scan(&name, &value)
		settings[name] = value
		return err
	})
	return settings["log_bin"] != "ON" || settings["log_bin_trust_function_creators"] != "OFF", err
}

// rash reports whether the object is a function of which a binary log cannot know that a
// replica will do the same.
func (o object) rash() bool {
	said := func(words string) bool { return bytes.Contains(o.Text, []byte("\n    "+words+"\n")) } // as SHOW CREATE writes it
	return o.Kind == "FUNCTION" && !said("DETERMINISTIC") && !said("NO SQL") && !said("READS SQL DATA")
}

// mayCreate refuses objects that the server would not take from the user, with what cures it.
func (t *target) mayCreate(ctx context.Context, objects []object) error {
	logged := slices.DeleteFunc(slices.Clone(objects), func(o object) bool { return o.Kind != "FUNCTION" && o.Kind != "TRIGGER" })
	if len(logged) == 0 {
		return nil
	}
	if trusts, err := t.control.trusts(ctx); trusts || err != nil {
		return err
	}
	g, err := t.control.grants(ctx)
	if err != nil {
		return err
	}
	cure := "SET GLOBAL log_bin_trust_function_creators = 1, and the same in the server's configuration for its next start"
	if !slices.ContainsFunc(logged, object.rash) {
		grant, err := t.control.grantLine(ctx, "SUPER", "")
		if err != nil {
			return err
		}
		cure += "; or " + grant
	}
	why := fmt.Sprintf("user %s without SUPER cannot create", t.user)
	switch {
	case g.allow("SUPER", ""):
		logged = slices.DeleteFunc(logged, func(o object) bool { return !o.rash() })
		why = "nobody can create functions that are neither DETERMINISTIC nor NO SQL nor READS SQL DATA:"
	case g.allow("SET_USER_ID", ""):
		logged = slices.DeleteFunc(logged, func(o object) bool { return o.Kind == "TRIGGER" })
	}
	if len(logged) == 0 {
		return nil
	}
	return &definitionError{fmt.Sprintf("database %s: because %s at %s writes a binary log, %s %s: %s", t.database, t.product(), t.address, why, labels(logged), cure)}
}

// labels names the first of objects.
func labels(objects []object) string {
	const most = 5
	var names []string
	for _, o := range objects[:min(len(objects), most)] {
		names = append(names, o.label())
	}
	text := strings.Join(names, ", ")
	if n := len(objects) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}
