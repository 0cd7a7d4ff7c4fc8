package corpus

import (
	"bufio"
	"context"
	"fmt"
	"path/filepath"
)

// smallPerDirectory makes 500 directories of 200,000 files.
const smallPerDirectory = 400

// Small is very many small files: cache entries of about 1 KB.
type Small struct {
	Seed  uint64
	Files int
}

// Create writes the files of the first day into dir.
func (c Small) Create(ctx context.Context, dir string) error {
	return each(ctx, c.Files, func(i int) error { return c.write(dir, i, 0) })
}

// NextDay rewrites 1 % of the files.
func (c Small) NextDay(ctx context.Context, dir string, day int) error {
	return each(ctx, c.Files, func(i int) error {
		if !newSource(c.Seed, partChange, uint64(day), uint64(i)).chance(10_000) {
			return nil
		}
		return c.write(dir, i, day)
	})
}

// News writes what NextDay does, into another directory: the files are new as a
// whole.
func (c Small) News(ctx context.Context, dir string, day int) error {
	return c.NextDay(ctx, dir, day)
}

func (c Small) write(dir string, i, day int) error {
	path := filepath.Join(dir, fmt.Sprintf("%04d", i/smallPerDirectory), fmt.Sprintf("entry-%07d.json", i))
	return writeFile(path, func(w *bufio.Writer) error {
		s := newSource(c.Seed, partSmall, uint64(i), uint64(day))
		size := s.between(450, 1450)
		b := fmt.Appendf(nil, "{\"key\": \"%016x\", \"created\": %d, \"entries\": [\n", s.next(), 1_760_000_000+s.below(1<<20))
		for len(b) < size {
			b = fmt.Appendf(b, "  {\"id\": %d, \"label\": \"%s\", \"enabled\": true, \"options\": [], \"parent\": null, \"weight\": 0},\n",
				s.below(1000), language().word(s))
		}
		_, err := w.Write(append(b, "  null]}\n"...))
		return err
	})
}
