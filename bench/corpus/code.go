package corpus

import (
	"bufio"
	"fmt"
	"strings"
)

// A coder writes source code: a file's own few names and the library that all
// files share, put together by a small grammar.
type coder struct {
	*source
	b     []byte
	own   []string
	depth int
}

const licence = `// Copyright the shop's authors. All rights reserved.
// Use of this source code is governed by a licence that can be found in the
// LICENSE file at the top of this source tree.

`

// appendCode appends functions to b until it has grown by at least n bytes.
func appendCode(b []byte, s *source, n int) []byte {
	c := &coder{source: s, b: b}
	for range s.between(20, 50) {
		c.own = append(c.own, c.compound(s.between(1, 4)))
	}
	for end := len(b) + n; len(c.b) < end; {
		c.function()
	}
	return c.b
}

// writeCodeFile writes one source file of about n bytes.
func writeCodeFile(w *bufio.Writer, s *source, n int) error {
	b := fmt.Appendf(make([]byte, 0, n+4096), "%spackage %s\n\nimport (\n\t\"context\"\n\t\"errors\"\n\t\"fmt\"\n\n", licence, language().word(s))
	for range s.between(1, 8) {
		b = fmt.Appendf(b, "\t\"shop.example/%s/%s\"\n", language().word(s), language().word(s))
	}
	b = append(b, ")\n\n"...)
	_, err := w.Write(appendCode(b, s, n-len(b)))
	return err
}

// compound makes a name in camel case.
func (c *coder) compound(words int) string {
	name := language().word(c.source)
	for range words - 1 {
		word := language().word(c.source)
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return name
}

// name is mostly one of the file's own, the first of them most often.
func (c *coder) name() string {
	if c.below(12) == 0 {
		return c.compound(c.between(1, 3))
	}
	return c.own[min(c.below(len(c.own)), c.below(len(c.own)))]
}

func (c *coder) line(format string, args ...any) {
	for range c.depth {
		c.b = append(c.b, '\t')
	}
	c.b = fmt.Appendf(c.b, format, args...)
	c.b = append(c.b, '\n')
}

func (c *coder) function() {
	name := c.compound(c.between(2, 4))
	c.line("// %s: %s", name, language().appendSentence(nil, c.source, c.between(6, 14)))
	c.line("func (%s *%s) %s(ctx context.Context, %s string, %s int) (%s, error) {", c.own[0][:1], c.own[0], name, c.name(), c.name(), c.name())
	c.depth++
	for range c.between(3, 14) {
		c.statement()
	}
	c.line("return %s, nil", c.name())
	c.depth--
	c.line("}\n")
}

func (c *coder) statement() {
	kind := c.below(14)
	if c.depth > 4 {
		kind = c.below(7)
	}
	switch kind {
	case 0, 1:
		c.line("%s := %s", c.name(), c.expression(2))
	case 2, 3:
		c.line("%s.%s = %s", c.name(), c.name(), c.expression(1))
	case 4:
		c.line("%s.%s(%s, %s)", c.name(), c.name(), c.expression(1), c.expression(1))
	case 5:
		c.line("// %s", language().appendSentence(nil, c.source, c.between(5, 12)))
	case 6:
		c.line("%s = append(%s, %s)", c.name(), c.name(), c.expression(1))
	case 7, 8:
		c.line("%s, err := %s.%s(ctx, %s)", c.name(), c.name(), c.name(), c.expression(1))
		c.block("if err != nil {", func() {
			c.line("return nil, fmt.Errorf(\"%s %s: %%w\", err)", language().word(c.source), language().word(c.source))
		})
	case 9, 10:
		c.block("if "+c.condition()+" {", func() { c.statements(3) })
	case 11:
		c.block("for _, "+c.name()+" := range "+c.expression(1)+" {", func() { c.statements(4) })
	case 12:
		c.block("for i := 0; i < len("+c.name()+"); i++ {", func() { c.statements(3) })
	default:
		c.block("switch "+c.name()+" {", func() {
			for range c.between(2, 5) {
				c.line("case \"%s\":", language().word(c.source))
				c.depth++
				c.statement()
				c.depth--
			}
		})
	}
}

func (c *coder) statements(limit int) {
	for range 1 + c.below(limit) {
		c.statement()
	}
}

// block writes head, what body writes one step further in, and the brace.
func (c *coder) block(head string, body func()) {
	c.line("%s", head)
	c.depth++
	body()
	c.depth--
	c.line("}")
}

func (c *coder) condition() string {
	return c.expression(1) + [...]string{" == ", " != ", " < ", " > "}[c.below(4)] + c.expression(0)
}

// expression returns an expression nested at most depth deep.
func (c *coder) expression(depth int) string {
	kind := c.below(7)
	if depth == 0 {
		kind = c.below(4)
	}
	switch kind {
	case 0:
		return fmt.Sprint(c.below(1 << c.below(12)))
	case 1:
		return c.name() + "." + c.name()
	case 2, 3:
		return c.name()
	case 4:
		return `"` + language().word(c.source) + " " + language().word(c.source) + `"`
	case 5:
		return c.name() + "(" + c.expression(depth-1) + ", " + c.expression(depth-1) + ")"
	default:
		return c.expression(depth-1) + [...]string{" + ", " - ", " && ", " * "}[c.below(4)] + c.expression(depth-1)
	}
}
