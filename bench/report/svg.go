package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// A drawing is an SVG document while it is written. It brings a background of its
// own, so that it reads the same on a light page and on a dark one, and follows
// the reader's choice of the two where the viewer tells it.
type drawing struct{ bytes.Buffer }

const style = `
  .ground { fill: #ffffff; stroke: #d0d7de } text { fill: #1f2328; font: 13px system-ui, sans-serif }
  .soft { fill: #59636e } .rule { stroke: #d0d7de } .title { font-weight: 600 }
  .limit { fill: #8c959f; stroke: #8c959f } .holdfast, .c0 { fill: #0969da; stroke: #0969da }
  .restic, .c1 { fill: #bc4c00; stroke: #bc4c00 } .kopia, .c2 { fill: #1a7f37; stroke: #1a7f37 }
  .borg, .c3 { fill: #8250df; stroke: #8250df } polyline.line { fill: none; stroke-width: 2 } rect.bar { stroke: none }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #3d444d } text { fill: #f0f6fc } .soft { fill: #9198a1 } .rule { stroke: #3d444d }
    .holdfast, .c0 { fill: #4493f8; stroke: #4493f8 } .restic, .c1 { fill: #f0883e; stroke: #f0883e }
    .kopia, .c2 { fill: #3fb950; stroke: #3fb950 } .borg, .c3 { fill: #ab7df8; stroke: #ab7df8 }
  }
`

func begin(width, height float64, title string) *drawing {
	d := new(drawing)
	fmt.Fprintf(d, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" role=\"img\">\n<title>%s</title>\n<style>%s</style>\n", width, height, escape(title), style)
	fmt.Fprintf(d, "<rect class=\"ground\" x=\"0.5\" y=\"0.5\" width=\"%.0f\" height=\"%.0f\" rx=\"6\"/>\n", width-1, height-1)
	d.text(16, 26, "title", "start", title)
	return d
}

func (d *drawing) end() []byte {
	d.WriteString("</svg>\n")
	return d.Bytes()
}

// text writes s with its baseline at y; anchor is start, middle or end.
func (d *drawing) text(x, y float64, class, anchor, s string) {
	fmt.Fprintf(d, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", class, x, y, anchor, escape(s))
}

func (d *drawing) bar(x, y, width, height float64, class string) {
	fmt.Fprintf(d, "<rect class=\"%s bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", class, x, y, width, height)
}

func (d *drawing) rule(x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, "<line class=\"rule\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x1, y1, x2, y2)
}

func (d *drawing) line(x, y []float64, class string) {
	points := make([]string, len(x))
	for i := range x {
		points[i] = fmt.Sprintf("%.1f,%.1f", x[i], y[i])
	}
	fmt.Fprintf(d, "<polyline class=\"%s line\" points=\"%s\"/>\n", class, strings.Join(points, " "))
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a Buffer never fails
	return b.String()
}
