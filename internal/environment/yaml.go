package environment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The bounds of holdfast.yaml.
const (
	maxFile  = 1 << 20 // bytes
	maxNodes = 50_000  // visited while reading it; aliases count every time
)

// document walks the nodes of one file and collects what is wrong with them.
type document struct {
	file     string // for messages
	lookup   Lookup
	nodes    int
	problems []Problem
	// unset collects problems that only count where an environment is used; nil
	// outside of one.
	unset *[]Problem
}

// field is a key with its value, or an item of a list.
type field struct {
	key  string
	path string // from the top: environments.master.exclude[0]
	line int    // of the key
	node *yaml.Node
}

func (d *document) problem(f field, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.file, Line: f.line, Path: f.path, Text: fmt.Sprintf(format, args...)})
}

// parseYAML returns the top-level value; its node is nil in an empty file.
func (d *document) parseYAML(data []byte) field {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root, second yaml.Node
	top := field{line: 1}
	if err := decoder.Decode(&root); err != nil {
		if !errors.Is(err, io.EOF) {
			d.problems = append(d.problems, syntaxProblem(d.file, err))
		}
		return top
	}
	if err := decoder.Decode(&second); err == nil {
		d.problem(field{line: second.Line}, "a second document begins here; expected one")
	} else if !errors.Is(err, io.EOF) {
		d.problems = append(d.problems, syntaxProblem(d.file, err))
	}
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		top.node = root.Content[0]
	}
	return top
}

var syntaxError = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntaxProblem takes the line out of an error of the YAML parser. Its messages
// show no values, but for the name of an anchor, which a password can be taken for.
func syntaxProblem(file string, err error) Problem {
	p := Problem{File: file}
	text := err.Error()
	if m := syntaxError.FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	if strings.HasPrefix(text, "unknown anchor") {
		text = "an alias without its anchor; text that begins with * needs quotes"
	}
	p.Text = "not YAML: " + text
	return p
}

// resolve follows an alias. It returns nil once too many nodes were visited,
// which ends loops and exponential growth of aliases alike.
func (d *document) resolve(f field) *yaml.Node {
	n := f.node
	for n != nil && n.Kind == yaml.AliasNode {
		if d.nodes++; d.nodes > maxNodes {
			break
		}
		n = n.Alias
	}
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes < 2*maxNodes { // say it once
			d.nodes = 2 * maxNodes
			d.problem(f, "more than %d values, aliases included", maxNodes)
		}
		return nil
	}
	return n
}

// mapping returns the fields of f, in their order; null has none.
func (d *document) mapping(f field) []field {
	n := d.resolve(f)
	if n == nil || isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		d.problem(f, "is %s; expected keys with values", kindOf(n))
		return nil
	}
	var fields []field
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		child := field{key: key.Value, path: join(f.path, key.Value), line: key.Line, node: n.Content[i+1]}
		if key.Kind != yaml.ScalarNode {
			child.path = f.path
			d.problem(child, "a key is %s; expected a word", kindOf(key))
			continue
		}
		if before, ok := lines[key.Value]; ok {
			d.problem(child, "stands here a second time; the first is in line %d", before)
			continue
		}
		lines[key.Value] = key.Line
		fields = append(fields, child)
	}
	return fields
}

func join(path, key string) string {
	key = shown(key)
	if path == "" {
		return key
	}
	return path + "." + key
}

// shown returns s fit for one line of a message.
func shown(s string) string {
	const longest = 80
	if len(s) > longest {
		s = s[:longest] + "…"
	}
	if quoted := strconv.Quote(s); quoted != `"`+s+`"` || s == "" {
		return quoted
	}
	return s
}

// known returns the fields of f by key and refuses keys that are not in words.
func (d *document) known(f field, words ...string) map[string]field {
	fields := map[string]field{}
	for _, child := range d.mapping(f) {
		if !slices.Contains(words, child.key) {
			d.problem(child, "unknown key; expected %s%s", alternatives(words), didYouMean(child.key, words))
			continue
		}
		fields[child.key] = child
	}
	return fields
}

// list returns the items of f.
func (d *document) list(f field) []field {
	n := d.resolve(f)
	if n == nil || isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		d.problem(f, "is %s; expected a list", kindOf(n))
		return nil
	}
	items := make([]field, len(n.Content))
	for i, item := range n.Content {
		items[i] = field{path: fmt.Sprintf("%s[%d]", f.path, i), line: item.Line, node: item}
	}
	return items
}

// template returns f as text with its variables found. expected says what the
// text should be: "a path".
func (d *document) template(f field, expected string) (template, bool) {
	if n := d.resolve(f); n != nil && n.Kind == yaml.ScalarNode && n.ShortTag() != "!!str" {
		d.problem(f, "is %s; expected %s", kindOf(n), expected)
		return template{}, false
	}
	return d.scalar(f, expected)
}

// scalar is template for a text that may look like a number: a password.
func (d *document) scalar(f field, expected string) (template, bool) {
	n := d.resolve(f)
	if n == nil {
		return template{}, false
	}
	if n.Kind != yaml.ScalarNode || isNull(n) || n.Value == "" {
		d.problem(f, "is %s; expected %s", kindOf(n), expected)
		return template{}, false
	}
	t, err := parseTemplate(n.Value)
	if err != nil {
		d.problem(f, "%s", err)
		return t, false
	}
	return t, true
}

// text returns f as text with its variables expanded.
func (d *document) text(f field, expected string) (string, bool) {
	t, ok := d.template(f, expected)
	if !ok {
		return "", false
	}
	value, err := t.text(d.lookup)
	if err != nil {
		d.expandProblem(f, err)
		return "", false
	}
	if value == "" {
		d.problem(f, "is empty; expected %s", expected)
	}
	return value, value != ""
}

// expandProblem records an error of template.expand: one about a variable that
// is not set only counts where the environment is used.
func (d *document) expandProblem(f field, err error) {
	if _, unset := errors.AsType[*unsetError](err); unset && d.unset != nil {
		*d.unset = append(*d.unset, Problem{File: d.file, Line: f.line, Path: f.path, Text: err.Error()})
		return
	}
	d.problem(f, "%s", err)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!str":
		if n.Value == "" {
			return "empty"
		}
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	}
	return `a value with a tag ("!" begins one; text that begins with it needs quotes)`
}
