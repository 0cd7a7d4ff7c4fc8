package corpus

import (
	"bufio"
	"context"
	"iter"
	"os"
	"path/filepath"
)

const (
	sparsePath   = "volumes/sparse.img"
	sparseExtent = 2 << 20 // bytes of data that lie together
	sparseBlock  = 4096    // what everything is aligned to
)

// Sparse is the image of a volume that is mostly holes: one extent of data, text
// and random bytes by turns, in each of equally long slots.
type Sparse struct {
	Seed uint64
	Size int64 // of the file, in bytes
	Data int64 // of which are no hole
}

// extents is the number of extents and slots.
func (c Sparse) extents() int { return int(max(1, c.Data/sparseExtent)) }

// extent returns where the i-th extent begins: anywhere in its slot.
func (c Sparse) extent(i int) int64 {
	slot := c.Size / int64(c.extents())
	room := max(1, int((slot-sparseExtent)/sparseBlock))
	start := int64(i) * slot / sparseBlock * sparseBlock
	return start + int64(newSource(c.Seed, partSparse, uint64(i)).below(room))*sparseBlock
}

// Create writes the image of the first day into dir.
func (c Sparse) Create(ctx context.Context, dir string) error {
	path := filepath.Join(dir, sparsePath)
	if err := writeFile(path, func(*bufio.Writer) error { return nil }); err != nil {
		return err
	}
	if err := os.Truncate(path, max(c.Size, c.extent(c.extents()-1)+sparseExtent)); err != nil {
		return err
	}
	return each(ctx, c.extents(), func(i int) error {
		return overwriteAt(path, c.extent(i), textOrNoise(newSource(c.Seed, partSparse, uint64(i), 1), i, sparseExtent))
	})
}

// NextDay writes 4 to 64 KB at random places of the data, until 1 % of it has
// been written.
func (c Sparse) NextDay(ctx context.Context, dir string, day int) error {
	for w := range c.changes(day) {
		if err := w.apply(dir); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// News writes into dir what is new on a day and nothing else.
func (c Sparse) News(_ context.Context, dir string, day int) error {
	return newsOf(dir, c.changes(day))
}

func (c Sparse) changes(day int) iter.Seq[change] {
	return func(yield func(change) bool) {
		s := newSource(c.Seed, partSparse, partChange, uint64(day))
		left := int64(c.extents()) * sparseExtent / 100
		for i := 0; left > 0; i++ {
			size := s.between(1, 17) * sparseBlock
			inside := s.below((sparseExtent-size)/sparseBlock+1) * sparseBlock
			content := textOrNoise(s, i, size)
			if !yield(change{path: sparsePath, at: c.extent(s.below(c.extents())) + int64(inside), content: content}) {
				return
			}
			left -= int64(size)
		}
	}
}

// textOrNoise returns n bytes: text for even i, random bytes for odd.
func textOrNoise(s *source, i, n int) []byte {
	if i%2 == 0 {
		return language().appendProse(make([]byte, 0, n+256), s, n)[:n]
	}
	content := make([]byte, n)
	s.noise(content)
	return content
}
