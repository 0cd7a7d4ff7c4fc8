package environment

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/xrash/smetrics"
)

var (
	// ErrInvalid is wrapped by every error about what the file, a variable or a
	// flag says.
	ErrInvalid = errors.New("invalid configuration")
	// ErrNoConfig is wrapped when there is neither a holdfast.yaml nor a
	// repository named without one.
	ErrNoConfig = errors.New("no holdfast.yaml")
	// ErrNoEnvironment is wrapped when it is not clear which environment is meant,
	// or the one that is meant is not defined.
	ErrNoEnvironment = errors.New("no environment")
	// ErrNoPassword is wrapped when nothing gives a password and there is nobody to
	// ask.
	ErrNoPassword = errors.New("no password")
)

// Problem is one mistake.
type Problem struct {
	File string // as the user would name it; "" for a flag or variable
	Line int    // 0 when unknown
	Path string // environments.master.services.database, --project, HOLDFAST_PROJECT
	Text string // what was found and what is expected
}

// Error returns the problem as file:line: path: text.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
		if p.Line > 0 {
			fmt.Fprintf(&b, "%d:", p.Line)
		}
		b.WriteByte(' ')
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	return b.String() + p.Text
}

// InvalidError holds all mistakes that were found, in order of their lines.
type InvalidError struct {
	Problems []Problem
}

const shownProblems = 10

// Error returns one line for each problem, of at most shownProblems.
func (e *InvalidError) Error() string {
	var lines []string
	for i, p := range e.Problems {
		if i == shownProblems {
			lines = append(lines, fmt.Sprintf("and %d more like these", len(e.Problems)-i))
			break
		}
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

// Is makes every InvalidError an ErrInvalid.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

func (p Problem) invalid() error { return &InvalidError{Problems: []Problem{p}} }

func invalid(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	sorted := slices.Clone(problems)
	slices.SortStableFunc(sorted, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &InvalidError{Problems: sorted}
}

// hinted is an error of one of the kinds above that knows what to do next.
type hinted struct {
	kind error
	text string
	hint string
}

func (e *hinted) Error() string { return e.text }
func (e *hinted) Unwrap() error { return e.kind }

// Hint returns what the user can do, as a sentence for a line of its own.
func (e *hinted) Hint() string { return e.hint }

// Nearest returns the word among those given that a typing mistake would turn
// into found, or "".
func Nearest(found string, words []string) string {
	const longest = 64 // of a mistyped word; bounds the work
	if len(found) > longest {
		return ""
	}
	best, distance := "", 2+len(found)/4
	for _, w := range words {
		if d := smetrics.WagnerFischer(found, w, 1, 1, 1); d < distance {
			best, distance = w, d
		}
	}
	return best
}

// didYouMean returns a remark to end a message with, or "".
func didYouMean(found string, words []string) string {
	if near := Nearest(found, words); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

// alternatives joins words to "a, b or c".
func alternatives(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
