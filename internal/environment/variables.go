package environment

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxValue bounds what one value may become, in bytes, when its variables are
// expanded.
const maxValue = 1 << 20

// The marks that stand for a variable inside skeleton. Text from a YAML file is
// valid UTF-8, in which these bytes do not occur.
const (
	openMark  = "\xff"
	closeMark = "\xfe"
)

// template is a value as the file has it, its variables found but not expanded.
// A URL is taken apart at the skeleton, so that nothing a variable brings can be
// taken for a part of its structure.
type template struct {
	skeleton string   // the value; openMark, a number, closeMark in place of each variable
	names    []string // of the variables, by number
}

var errDollar = errors.New(`"$" must be followed by {NAME} for a variable, or by "$" for itself`)

// parseTemplate finds the variables in a value. Its error never shows the value.
func parseTemplate(value string) (template, error) {
	var t template
	var b strings.Builder
	if strings.ContainsAny(value, "\x00") || strings.Contains(value, openMark) || strings.Contains(value, closeMark) {
		return t, errors.New("contains a byte that no value can have")
	}
	for {
		before, rest, found := strings.Cut(value, "$")
		b.WriteString(before)
		if !found {
			t.skeleton = b.String()
			return t, nil
		}
		if escaped, ok := strings.CutPrefix(rest, "$"); ok {
			b.WriteByte('$')
			value = escaped
			continue
		}
		inner, ok := strings.CutPrefix(rest, "{")
		if !ok {
			return t, errDollar
		}
		name, after, closed := strings.Cut(inner, "}")
		if !closed || !isVariable(name) {
			return t, errDollar
		}
		b.WriteString(openMark + strconv.Itoa(len(t.names)) + closeMark)
		t.names = append(t.names, name)
		value = after
	}
}

func isVariable(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// unsetError says that a variable is missing on this machine.
type unsetError struct{ name string }

func (e *unsetError) Error() string {
	return fmt.Sprintf("the variable %s is not set", e.name)
}

// Lookup finds the value of a variable, as os.LookupEnv does.
type Lookup func(name string) (string, bool)

// expand returns part of t's skeleton with the values of its variables. What
// stands between them goes through decode; the values do not.
func (t template) expand(part string, lookup Lookup, decode func(string) (string, error)) (string, error) {
	var b strings.Builder
	for {
		literal, rest, found := strings.Cut(part, openMark)
		text, err := decode(literal)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		if !found {
			return b.String(), nil
		}
		number, after, _ := strings.Cut(rest, closeMark)
		i, err := strconv.Atoi(number)
		if err != nil || i >= len(t.names) {
			return "", errors.New("environment: a template's mark was cut")
		}
		value, ok := lookup(t.names[i])
		if !ok {
			return "", &unsetError{t.names[i]}
		}
		if b.Len()+len(value) > maxValue {
			return "", fmt.Errorf("longer than %d bytes once its variables are expanded", maxValue)
		}
		b.WriteString(value)
		part = after
	}
}

// text expands all of t as it stands.
func (t template) text(lookup Lookup) (string, error) {
	return t.expand(t.skeleton, lookup, func(s string) (string, error) { return s, nil })
}
