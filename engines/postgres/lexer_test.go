package postgres

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func statements(text string) ([]string, error) {
	s := newScript(strings.NewReader(text))
	var list []string
	for {
		st, err := s.next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, st.text)
	}
}

func TestScriptsAreCutIntoStatements(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"none":                     {"", nil},
		"comments only":            {"--\n-- x;\n\n", nil},
		"two":                      {"a;\nb ;", []string{"a", "b "}},
		"in strings":               {"a ';' ''';';b;", []string{"a ';' ''';'", "b"}},
		"strings":                  {`a ';' ''';' ";" """;";b;`, []string{`a ';' ''';' ";" """;"`, "b"}},
		"backslash in a string":    {`a '\';b;`, []string{`a '\'`, "b"}},
		"escapes":                  {`a E'\';' E';'';';b;`, []string{`a E'\';' E';'';'`, "b"}},
		"not an escape string":     {`a ce'\';b;`, []string{`a ce'\'`, "b"}},
		"dollars":                  {"a $$;$$ $x$;$$;$y$;$x$;b;", []string{"a $$;$$ $x$;$$;$y$;$x$", "b"}},
		"a dollar in a name":       {"a$$;b$x$;", []string{"a$$", "b$x$"}},
		"a parameter":              {"a $1;b $2 $$;$$;", []string{"a $1", "b $2 $$;$$"}},
		"comments":                 {"a -- ;'\n;b /* ; /* ' */ ; */;c -/ d;", []string{"a -- ;'\n", "b /* ; /* ' */ ; */", "c -/ d"}},
		"a rule's actions":         {"CREATE RULE r AS ON INSERT TO t DO (a; b);c;", []string{"CREATE RULE r AS ON INSERT TO t DO (a; b)", "c"}},
		"a body in SQL":            {"CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE x WHEN 1 THEN 2 END; SELECT 2; END;c;", []string{"CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE x WHEN 1 THEN 2 END; SELECT 2; END", "c"}},
		"a replaced body":          {"CREATE OR REPLACE PROCEDURE f() BEGIN ATOMIC a; END;c;", []string{"CREATE OR REPLACE PROCEDURE f() BEGIN ATOMIC a; END", "c"}},
		"begin of a transaction":   {"BEGIN;a;END;", []string{"BEGIN", "a", "END"}},
		"a column called begin":    {"CREATE TABLE t (begin int);c;", []string{"CREATE TABLE t (begin int)", "c"}},
		"restricted":               {"\\restrict abc\n\na;\n\\unrestrict abc\n", []string{"a"}},
		"letters beyond ASCII":     {"größe$x$;b;", []string{"größe$x$", "b"}},
		"an argument called begin": {"CREATE FUNCTION f(begin int) RETURNS int AS 'x';c;", []string{"CREATE FUNCTION f(begin int) RETURNS int AS 'x'", "c"}},
	} {
		got, err := statements(c.text)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestCommentsBelongToTheStatementBehindThem(t *testing.T) {
	s := newScript(strings.NewReader("--\n-- Name: a; Type: TABLE\n--\n\na;\nb;\n"))
	for _, want := range []statement{{"Name: a; Type: TABLE", "a"}, {"", "b"}} {
		if st, err := s.next(); err != nil || st != want {
			t.Errorf("%+v, %v", st, err)
		}
	}
}

func TestCommandsOfPsqlAreRefused(t *testing.T) {
	if _, err := statements("a;\n\\! rm -rf /\n"); !errors.Is(err, errScript) {
		t.Error(err)
	}
}

func FuzzScript(f *testing.F) {
	for _, seed := range []string{"a;b;", "a $x$;$x$;", "CREATE FUNCTION f() BEGIN ATOMIC a; END;", "/* /* */ */ a;", "E'\\';';", "\\restrict x\na;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := statements(text)
		if err != nil {
			return
		}
		// Written one after the other they are the same statements again.
		again, err := statements(strings.Join(append(list, ""), ";\n"))
		if err != nil || !slices.Equal(again, list) {
			t.Errorf("%q: %q, %v", list, again, err)
		}
	})
}
