package postgres

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// header makes the settings that a script of definitions begins with: they say how
// the rest is to be read, wherever it is loaded.
const header = `SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = '%s';
SET standard_conforming_strings = on;
SET search_path = '';
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
`

// noise are settings of pg_dump's own header, which differ between its versions,
// and statements that say what is so without them.
var noise = regexp.MustCompile(`^(?:SET (?:statement_timeout|lock_timeout|idle_in_transaction_session_timeout|transaction_timeout|client_encoding|standard_conforming_strings|check_function_bodies|xmloption|client_min_messages|row_security|default_tablespace) = |SELECT pg_catalog\.set_config\('search_path', |COMMENT ON EXTENSION )`)

// privilege matches what says whose an object is and who may use it: roles are the
// server's, and are others elsewhere.
var privilege = regexp.MustCompile(`^(?:GRANT |REVOKE |ALTER DEFAULT PRIVILEGES |SET SESSION AUTHORIZATION |RESET SESSION AUTHORIZATION$)`)

// owner matches the statement that gives an object to a role.
var owner = regexp.MustCompile(`^(ALTER (?s:.*) OWNER TO )("(?:[^"]|"")+"|[^\s"';]+)$`)

// definitions are the scripts made of what pg_dump says.
type definitions struct {
	encoding   string
	rename     *strings.Replacer // of retired schemas; nil where names are right
	privileges []byte
}

// section makes a script of one section of pg_dump's output; what it says about
// roles goes to the privileges.
func (d *definitions) section(from io.Reader) ([]byte, error) {
	text := fmt.Appendf(nil, header, d.encoding)
	s := newScript(from)
	for {
		st, err := s.next()
		if err == io.EOF {
			return text, nil
		}
		if err != nil {
			return nil, fmt.Errorf("pg_dump: %w", err)
		}
		if d.rename != nil {
			st.text, st.comment = d.rename.Replace(st.text), d.rename.Replace(st.comment)
		}
		switch {
		case noise.MatchString(st.text) || st.text == "CREATE SCHEMA public":
		case privilege.MatchString(st.text) || owner.MatchString(st.text):
			d.privileges = append(append(d.privileges, st.text...), ";\n"...)
		default:
			if label := labelOf(st.comment); label != "" {
				text = fmt.Appendf(text, "\n-- %s\n", label)
			}
			text = append(append(text, st.text...), ";\n"...)
		}
	}
}

// labelOf is what pg_dump says about an object, without whose it is.
func labelOf(comment string) string {
	if !strings.HasPrefix(comment, "Name: ") {
		return ""
	}
	label, _, _ := strings.Cut(comment, "; Owner: ")
	return strings.TrimSuffix(label, "; Schema: -")
}

// statementsOf reads a whole script.
func statementsOf(from io.Reader) ([]statement, error) {
	s := newScript(from)
	var list []statement
	for {
		st, err := s.next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, st)
	}
}

// appendPrivileges makes the script of the privileges.
func (d *definitions) appendPrivileges() []byte {
	text := []byte("-- Owners and privileges, for servers that have these roles\nSET client_encoding = '" + d.encoding + "';\nSET search_path = '';\n\n")
	return append(text, bytes.TrimSpace(d.privileges)...)
}
