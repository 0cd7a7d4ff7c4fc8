package chunk

// Cutter finds the cut points of one stream after the other in bytes that lie in
// memory. It serves one goroutine at a time and allocates nothing.
type Cutter struct {
	finder finder
	sizes  Sizes
	// No position of the begun chunk up to this one is its end. 0: none was looked at.
	passed int
}

// NewCutter returns a Cutter for a valid polynomial and valid sizes.
func NewCutter(p Polynomial, s Sizes) *Cutter {
	c := &Cutter{sizes: s}
	c.finder.init(p, s)
	return c
}

// Reset forgets a chunk that was begun.
func (c *Cutter) Reset() { c.passed = 0 }

// Cut returns the length of the chunk that data begins with, at most Sizes.Max,
// or 0 if its end does not lie in data yet: then call again with the same bytes
// and more behind them (it goes on where it stopped and does not scan twice), or
// with last set when no more will come.
//
// Data starts right after the previous cut, or at the stream's start. With last
// set the result is 0 for empty data only.
func (c *Cutter) Cut(data []byte, last bool) int {
	end := min(len(data), int(c.sizes.Max))
	from := max(c.passed+1, int(c.sizes.Min))
	if from <= end {
		if p := c.find(data[:end], from); p != 0 {
			c.passed = 0
			return p
		}
		c.passed = end
	}
	if last || end == int(c.sizes.Max) {
		c.passed = 0
		return end
	}
	return 0
}

// find returns the first position from the given one to the end of data that
// is a cut, or 0.
func (c *Cutter) find(data []byte, from int) int {
	// The first legal position comes alone: in a run of zeros it is the cut.
	if c.finder.isCut(data, from) {
		return from
	}
	return c.finder.find(data, from)
}
