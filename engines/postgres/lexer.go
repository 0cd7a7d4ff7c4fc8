package postgres

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	maxStatement = 64 << 20 // bytes; a large object is written in pieces far below
	maxComment   = 16 << 10
	maxNesting   = 1 << 10
)

var errScript = errors.New("not a script that Holdfast wrote")

// statement is one statement of a script, without its semicolon.
type statement struct {
	comment string // the last comment line before it, without "-- "
	text    string
}

// script cuts SQL, as pg_dump and this package write it, into statements: with
// standard_conforming_strings, as psql does. Any bytes give statements or an error.
type script struct {
	from    *bufio.Reader
	text    []byte
	comment string

	parens int    // open parentheses
	blocks int    // open BEGIN and CASE of a function's body written in SQL
	words  int    // read so far
	kinds  uint8  // which words a statement began with, for isRoutine
	word   []byte // being read
}

func newScript(r io.Reader) *script { return &script{from: bufio.NewReaderSize(r, 64<<10)} }

// next returns io.EOF at the end of a whole script.
func (s *script) next() (statement, error) {
	s.text, s.word = s.text[:0], s.word[:0]
	s.parens, s.blocks, s.words, s.kinds = 0, 0, 0, 0
	if err := s.space(); err != nil {
		return statement{}, err
	}
	for {
		c, err := s.take()
		if err != nil {
			return statement{}, inside(err)
		}
		if isWord(c) || c == '$' && len(s.word) > 0 {
			s.word = append(s.word, c)
			continue
		}
		before := s.word
		s.endWord()
		switch c {
		case '\'':
			err = s.quoted('\'', len(before) == 1 && before[0]|0x20 == 'e')
		case '"':
			err = s.quoted('"', false)
		case '$':
			err = s.dollar()
		case '-':
			err = s.ifNext('-', s.line)
		case '/':
			err = s.ifNext('*', s.block)
		case '(':
			s.parens++
		case ')':
			s.parens--
		case ';':
			if s.parens <= 0 && s.blocks <= 0 {
				return statement{s.comment, string(s.text[:len(s.text)-1])}, nil
			}
		}
		if err != nil {
			return statement{}, inside(err)
		}
	}
}

// inside turns the end of the script into an error.
func inside(err error) error {
	if err == io.EOF {
		return fmt.Errorf("it ends inside a statement: %w", errScript)
	}
	return err
}

// take reads a byte of a statement.
func (s *script) take() (byte, error) {
	c, err := s.from.ReadByte()
	if err != nil {
		return 0, err
	}
	if len(s.text) >= maxStatement {
		return 0, fmt.Errorf("a statement of more than %d bytes: %w", maxStatement, errScript)
	}
	s.text = append(s.text, c)
	return c, nil
}

// space skips what stands between two statements.
func (s *script) space() error {
	s.comment = ""
	for {
		c, err := s.from.ReadByte()
		if err != nil {
			return err
		}
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '\\': // pg_dump keeps psql from obeying what a hostile server says
			line, err := s.commentLine()
			if err != nil {
				return err
			}
			if !strings.HasPrefix(line, "restrict ") && !strings.HasPrefix(line, "unrestrict ") {
				return fmt.Errorf("psql's command %.20q: %w", line, errScript)
			}
			continue
		case '-':
			if next, _ := s.from.Peek(1); len(next) == 1 && next[0] == '-' {
				line, err := s.commentLine()
				if err != nil {
					return err
				}
				if text := strings.TrimPrefix(line, "- "); text != line {
					s.comment = text
				}
				continue
			}
		}
		return s.from.UnreadByte()
	}
}

// commentLine reads the rest of a line.
func (s *script) commentLine() (string, error) {
	var line []byte
	for {
		part, err := s.from.ReadSlice('\n')
		if len(line)+len(part) > maxComment {
			return "", fmt.Errorf("a comment of more than %d bytes: %w", maxComment, errScript)
		}
		line = append(line, part...)
		if err == nil || err == io.EOF {
			return string(bytes.TrimRight(line, "\n")), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
	}
}

// ifNext calls rest if the next byte is c.
func (s *script) ifNext(c byte, rest func() error) error {
	if next, _ := s.from.Peek(1); len(next) == 1 && next[0] == c {
		return rest()
	}
	return nil
}

// line reads to the end of a comment.
func (s *script) line() error {
	for {
		if c, err := s.take(); err != nil || c == '\n' {
			return err
		}
	}
}

// block reads to the end of a comment of the other kind, which nests.
func (s *script) block() error {
	depth, last := 0, byte('/')
	for {
		c, err := s.take()
		if err != nil {
			return err
		}
		switch {
		case last == '/' && c == '*':
			depth, c = depth+1, 0
		case last == '*' && c == '/':
			depth, c = depth-1, 0
		}
		if depth == 0 {
			return nil
		}
		if depth > maxNesting {
			return fmt.Errorf("comments in comments: %w", errScript)
		}
		last = c
	}
}

// quoted reads to the closing quote. A doubled one is two strings in a row here.
func (s *script) quoted(quote byte, escapes bool) error {
	for {
		c, err := s.take()
		if err != nil {
			return err
		}
		if c == '\\' && escapes {
			if _, err := s.take(); err != nil {
				return err
			}
			continue
		}
		if c != quote {
			continue
		}
		if next, _ := s.from.Peek(1); !escapes || len(next) == 0 || next[0] != quote {
			return nil
		}
		if _, err := s.take(); err != nil {
			return err
		}
	}
}

// dollar reads a string between dollars, or nothing where this is none.
func (s *script) dollar() error {
	from := len(s.text) - 1
	for {
		next, err := s.from.Peek(1)
		if err != nil || !isWord(next[0]) && next[0] != '$' || len(s.text) == from+1 && next[0] >= '0' && next[0] <= '9' {
			return nil
		}
		c, err := s.take()
		if err != nil {
			return err
		}
		if c == '$' {
			break
		}
	}
	tag := string(s.text[from:])
	for body := len(s.text); ; {
		c, err := s.take()
		if err != nil {
			return err
		}
		if c == '$' && len(s.text)-body >= len(tag) && bytes.HasSuffix(s.text, []byte(tag)) {
			return nil
		}
	}
}

func isWord(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// Which words a statement began with.
const (
	sawCreate = 1 << iota
	sawRoutine
)

// endWord takes note of a word: a function's body may be written in SQL between
// BEGIN and END, with semicolons inside.
func (s *script) endWord() {
	if len(s.word) == 0 {
		return
	}
	word := strings.ToUpper(string(s.word))
	s.word, s.words = s.word[:0], s.words+1
	switch {
	case s.words == 1 && word == "CREATE":
		s.kinds |= sawCreate
	case s.words <= 4 && s.kinds == sawCreate && (word == "FUNCTION" || word == "PROCEDURE"):
		s.kinds |= sawRoutine
	case s.kinds&sawRoutine == 0 || s.parens > 0:
	case word == "BEGIN" || word == "CASE" && s.blocks > 0:
		s.blocks++
	case word == "END" && s.blocks > 0:
		s.blocks--
	}
}
