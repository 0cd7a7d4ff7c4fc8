package mysql

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Streams are scripts for the mariadb client, framed by lines so that they can
// be cut into statements without understanding them:
//
//   - a line that begins with "-- " between statements is a comment;
//   - a statement ends with the line that ends in ";";
//   - where a statement has such a line inside, or is the body of a routine, it
//     stands between a line "DELIMITER x", and the lines "x" and "DELIMITER ;".

const (
	maxStatement = 1<<30 + 1<<20 // bytes: the largest max_allowed_packet, and some
	maxComment   = 4 << 10
)

// header makes the settings that every stream begins with: they say how the rest
// is to be read, wherever it is loaded. mode is the sql_mode.
//
// Not among them is unique_checks = 0, which other dumps have: together with
// foreign_key_checks = 0 it makes MariaDB 10.11 load each statement into an empty
// table in another way, which costs two and a half times the time (measured).
func header(mode string) string {
	return "SET NAMES utf8mb4;\n" +
		"SET time_zone = '+00:00', sql_mode = '" + mode + "', foreign_key_checks = 0;\n"
}

// appendStatement appends a statement as simply as its text allows.
func appendStatement(dst, text []byte) []byte {
	if !bytes.Contains(text, []byte(";\n")) && !startsWith(text, "DELIMITER ", "-- ", "\n") {
		return append(append(dst, text...), ";\n"...)
	}
	return appendBlock(dst, text)
}

// appendBlock appends a statement between delimiters that do not occur in it.
func appendBlock(dst, text []byte) []byte {
	mark := ";;"
	for bytes.Contains(text, []byte(mark)) {
		mark += ";"
	}
	return fmt.Appendf(dst, "DELIMITER %s\n%s\n%s\nDELIMITER ;\n", mark, text, mark)
}

// appendObject appends an object with the settings that it was created under.
// collation is the database's default.
func appendObject(dst []byte, o object, collation string) []byte {
	dst = fmt.Appendf(dst, "\n-- %s\n", o.label())
	for _, s := range o.settings() {
		dst = appendStatement(dst, []byte(s))
	}
	dst = appendBlock(dst, o.Text)
	if o.Collation != "" {
		dst = appendStatement(dst, []byte("ALTER DATABASE COLLATE = "+collation))
	}
	return dst
}

// settings are the statements that come before the CREATE.
func (o object) settings() []string {
	set := fmt.Sprintf("SET sql_mode = %s", literal(o.SQLMode))
	if o.TimeZone != "" {
		set += ", time_zone = " + literal(o.TimeZone)
	}
	if o.Client != "" {
		set += fmt.Sprintf(", character_set_client = %s, collation_connection = %s", o.Client, o.Connection)
	}
	if o.Collation != "" {
		return []string{set, "ALTER DATABASE COLLATE = " + o.Collation}
	}
	return []string{set}
}

// statement is one statement of a script.
type statement struct {
	comment string // the last comment line before it, without "-- "
	text    []byte // valid until the next one is read
}

// script cuts a stream into statements. Any bytes give statements or an error.
type script struct {
	from    *bufio.Reader
	text    []byte
	comment string // the last one read
}

func newScript(r io.Reader) *script { return &script{from: bufio.NewReaderSize(r, 64<<10)} }

var errScript = errors.New("not a script that Holdfast wrote")

// next returns io.EOF at the end of a whole script.
func (s *script) next() (statement, error) {
	for {
		s.text = s.text[:0]
		err := s.line()
		if err != nil {
			return statement{}, err
		}
		line := s.text
		switch {
		case len(line) == 1:
		case bytes.HasPrefix(line, []byte("-- ")):
			if len(line) > maxComment {
				return statement{}, fmt.Errorf("a comment of %d bytes: %w", len(line), errScript)
			}
			s.comment = string(line[3 : len(line)-1])
		case bytes.HasPrefix(line, []byte("DELIMITER ")):
			mark := slices.Clone(bytes.TrimPrefix(line, []byte("DELIMITER ")))
			return s.block(mark)
		default:
			for !bytes.HasSuffix(s.text, []byte(";\n")) {
				if err := s.more(); err != nil {
					return statement{}, err
				}
			}
			return statement{s.comment, s.text[:len(s.text)-2]}, nil
		}
	}
}

// block reads a statement up to the line mark, which has its line break.
func (s *script) block(mark []byte) (statement, error) {
	if len(mark) < 3 || len(mark) > maxComment || strings.Trim(string(mark), ";") != "\n" {
		return statement{}, fmt.Errorf("delimiter %q: %w", mark, errScript)
	}
	s.text = s.text[:0]
	for {
		from := len(s.text)
		if err := s.more(); err != nil {
			return statement{}, err
		}
		if bytes.Equal(s.text[from:], mark) {
			s.text = s.text[:from]
			break
		}
	}
	if len(s.text) == 0 {
		return statement{}, fmt.Errorf("an empty statement: %w", errScript)
	}
	text := s.text[:len(s.text)-1]
	end, err := s.from.Peek(len("DELIMITER ;\n"))
	if err != nil && err != io.EOF {
		return statement{}, err
	}
	if string(end) != "DELIMITER ;\n" {
		return statement{}, fmt.Errorf("a block that does not end: %w", errScript)
	}
	if _, err := s.from.Discard(len(end)); err != nil {
		return statement{}, err
	}
	return statement{s.comment, text}, nil
}

// more appends the next line of a statement that has begun.
func (s *script) more() error {
	err := s.line()
	if err == io.EOF {
		return fmt.Errorf("it ends inside a statement: %w", errScript)
	}
	return err
}

// line appends the next line, with its line break, to s.text.
func (s *script) line() error {
	from := len(s.text)
	for {
		part, err := s.from.ReadSlice('\n')
		if len(s.text)+len(part) > maxStatement {
			return fmt.Errorf("a statement of more than %d bytes: %w", maxStatement, errScript)
		}
		s.text = append(s.text, part...)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF && len(s.text) > from:
			return fmt.Errorf("it ends inside a line: %w", errScript)
		default:
			return err
		}
	}
}
