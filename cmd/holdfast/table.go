package main

import (
	"io"
	"strings"
	"unicode/utf8"
)

// table is a result in rows:
//
//	+-------------------------+------------+----------------------+
//	| Created                 | % Complete | Snapshot name        |
//	+-------------------------+------------+----------------------+
//	| 2026-11-23 08:50:12 CET |        100 | 2ca4d90639f706283fee |
//	+-------------------------+------------+----------------------+
type table struct {
	columns []column
	rows    [][]string // one cell for each column
}

type column struct {
	title string
	right bool // numbers
	// flexible columns are cut, with an ellipsis, where the terminal is too narrow.
	flexible bool
}

// narrowest is what a flexible column keeps at least.
const narrowest = 8

// write draws the table no wider than width, if its flexible columns allow it;
// 0 is as wide as it needs. bold is applied to the titles.
func (t table) write(w io.Writer, width int, bold func(string) string) error {
	rows := make([][]string, len(t.rows))
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = utf8.RuneCountInString(c.title)
	}
	for r, row := range t.rows {
		rows[r] = make([]string, len(t.columns))
		for i, cell := range row {
			rows[r][i] = printable(cell)
			widths[i] = max(widths[i], utf8.RuneCountInString(rows[r][i]))
		}
	}
	t.shrink(widths, width)

	var b strings.Builder
	rule := "+"
	for _, n := range widths {
		rule += strings.Repeat("-", n+2) + "+"
	}
	line := func(cells []string, style func(string) string) {
		for i, cell := range cells {
			cell = cut(cell, widths[i])
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.columns[i].right {
				b.WriteString("| " + padding + style(cell) + " ")
			} else {
				b.WriteString("| " + style(cell) + padding + " ")
			}
		}
		b.WriteString("|\n")
	}
	titles := make([]string, len(t.columns))
	for i, c := range t.columns {
		titles[i] = c.title
	}
	b.WriteString(rule + "\n")
	line(titles, bold)
	b.WriteString(rule + "\n")
	for _, row := range rows {
		line(row, func(s string) string { return s })
	}
	b.WriteString(rule + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// shrink takes what is too much from the widest flexible column, again and again.
func (t table) shrink(widths []int, width int) {
	if width == 0 {
		return
	}
	for {
		total := 1
		widest := -1
		for i, n := range widths {
			total += n + 3
			if t.columns[i].flexible && n > narrowest && (widest < 0 || n > widths[widest]) {
				widest = i
			}
		}
		if total <= width || widest < 0 {
			return
		}
		widths[widest]--
	}
}

// cut returns s in at most n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// table writes rows to stdout as wide as the terminal allows.
func (app *env) table(w io.Writer, columns []column, rows [][]string) error {
	return table{columns, rows}.write(w, app.width(), app.bold)
}
