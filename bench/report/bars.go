package report

// Picture implements Result: for each step a bar per tool, its time, longest bar
// at full width.
func (c *Comparison) Picture() []byte {
	const (
		width   = 760.0
		name    = 90.0  // where the bars begin
		longest = 540.0 // pixels of a bar
		pitch   = 21.0
		gap     = 34.0
		top     = 40.0
	)
	height := top + float64(len(c.Steps))*(gap+pitch*float64(len(c.Tools))) + 12
	d := begin(width, height, c.Data+": seconds, less is better")
	y := top
	for _, step := range c.Steps {
		d.text(16, y+20, "soft", "start", step)
		y += gap - 4
		most := 0.0
		for _, t := range c.Tools {
			if all := seconds(t.Steps[step]); len(all) > 0 {
				most = max(most, median(all))
			}
		}
		for _, t := range c.Tools {
			d.text(name-8, y+13, "", "end", t.Name)
			if all := seconds(t.Steps[step]); len(all) > 0 {
				long := max(1, longest*median(all)/most)
				d.bar(name, y, long, pitch-5, t.Name)
				d.text(name+long+8, y+13, "", "start", inSeconds(median(all)))
			}
			y += pitch
		}
		y += 4
	}
	return d.end()
}
