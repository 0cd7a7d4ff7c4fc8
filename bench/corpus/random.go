package corpus

import (
	"bufio"
	"context"
	"fmt"
	"path/filepath"
)

// randomMean is the mean size in bytes of an Incompressible file.
const randomMean = 1_000_000

// Incompressible is files of 0.5 to 1.5 MB of random bytes.
type Incompressible struct {
	Seed  uint64
	Files int
}

// Create writes the files of the first day into dir.
func (c Incompressible) Create(ctx context.Context, dir string) error {
	return each(ctx, c.Files, func(i int) error { return c.write(dir, i, 0) })
}

// NextDay replaces 1 % of the files.
func (c Incompressible) NextDay(ctx context.Context, dir string, day int) error {
	s := newSource(c.Seed, partRandom, partChange, uint64(day))
	for range (c.Files + 99) / 100 {
		if err := c.write(dir, s.below(c.Files), day); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// News writes what NextDay does, into another directory: the files are new as a
// whole.
func (c Incompressible) News(ctx context.Context, dir string, day int) error {
	return c.NextDay(ctx, dir, day)
}

func (c Incompressible) write(dir string, i, day int) error {
	path := filepath.Join(dir, "uploads", fmt.Sprintf("%02d", i/100), fmt.Sprintf("video-%05d.mp4", i))
	return writeFile(path, func(w *bufio.Writer) error {
		size := randomMean/2 + int64(randomMean*spread(i)>>16)
		return writeNoise(w, newSource(c.Seed, partRandom, uint64(i), uint64(day)), size)
	})
}
