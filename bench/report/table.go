package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A Table is text in rows; the first column is what the row is about.
type Table struct {
	Title string
	Head  []string
	Rows  [][]string
}

func (t *Table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

// text writes the table with its columns aligned.
func (t Table) text(w io.Writer) error {
	fmt.Fprintf(w, "\n%s\n", t.Title)
	aligned := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		fmt.Fprintln(aligned, strings.Join(row, "\t"))
	}
	return aligned.Flush()
}

// markdown returns the table for a page, all but the first column to the right.
func (t Table) markdown() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	fmt.Fprintf(&b, "%s:\n\n", t.Title)
	line(t.Head)
	rule := make([]string, len(t.Head))
	for i := range rule {
		rule[i] = "---:"
	}
	rule[0] = "---"
	line(rule)
	for _, cells := range t.Rows {
		line(cells)
	}
	return b.String()
}
