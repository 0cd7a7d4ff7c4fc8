package chunk

// Four lanes keep a core's look-ups busy; a fifth gains nothing, more spill registers.
const (
	lanes     = 4
	laneSpan  = 1024 // positions that a lane looks at
	blockSpan = lanes * laneSpan
)

// findInLanes returns the first cut in the block of blockSpan positions from p on,
// or 0. All digests roll on once more than is looked at, so data reaches as far
// as the position behind the block.
func (f *finder) findInLanes(data []byte, p int) int {
	block := (*[window + blockSpan]byte)(data[p-window:])
	var d0, d1, d2, d3 uint64
	for i := range window {
		d0 = f.roll(d0, block[i], 0)
		d1 = f.roll(d1, block[i+laneSpan], 0)
		d2 = f.roll(d2, block[i+2*laneSpan], 0)
		d3 = f.roll(d3, block[i+3*laneSpan], 0)
	}
	first := blockSpan
	for i := range laneSpan {
		if m := f.mask; d0&m == 0 || d1&m == 0 || d2&m == 0 || d3&m == 0 {
			for lane, d := range [lanes]uint64{d0, d1, d2, d3} {
				if d&m == 0 {
					first = min(first, lane*laneSpan+i)
				}
			}
		}
		d0 = f.roll(d0, block[i+window], block[i])
		d1 = f.roll(d1, block[i+window+laneSpan], block[i+laneSpan])
		d2 = f.roll(d2, block[i+window+2*laneSpan], block[i+2*laneSpan])
		d3 = f.roll(d3, block[i+window+3*laneSpan], block[i+3*laneSpan])
	}
	if first < blockSpan {
		return p + first
	}
	return 0
}
