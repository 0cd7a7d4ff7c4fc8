// Package corpus makes the data that Holdfast is measured on.
//
// Nothing is stored or downloaded: everything is computed from a seed, file by
// file, in a fixed small amount of memory, and is the same on every machine and
// with every Go version. A day's change is computed the same way, so that a year
// of backups can be played through.
//
//	seed, path -> source (numbers) -> vocabulary, rows, grammar, noise -> file
//
// The corpora share one shape, Create for the first day, NextDay for each one that
// follows, and News for the bytes that are new on such a day, apart from all that
// was there before:
//
//   - Mixed: a web site's disk, 963 MB in 10,273 files
//   - Small: very many files of about 1 KB
//   - Dump: one single dump of any size
//   - Sparse: a volume's image that is mostly holes
//   - Incompressible: files of random bytes
//
// Invariants:
//
//  1. A file's bytes depend on the seed, its name, its size and the day, never on
//     the order in which files are written.
//  2. NextDay touches what it changes and nothing else: the other files keep
//     their inode and their time stamps.
//  3. What is below a directory named uploads does not compress; what is beside it
//     does, as a whole.
//  4. Text compresses about as well as what it imitates: an SQL dump ×2.4 and
//     source code ×3 with zstd's fastest level. Images do not compress.
package corpus

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// A part of the seed for each kind of data, so that no two share numbers.
const (
	partDump = iota + 1
	partCode
	partImages
	partVolume
	partSmall
	partChange
	partSparse
	partRandom
	partDatabase
)

// writeFile creates or replaces the file at path, and the directories above it,
// with what content writes.
func writeFile(path string, content func(w *bufio.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return fill(file, content)
}

// fill writes content to file and closes it.
func fill(file *os.File, content func(w *bufio.Writer) error) error {
	w := bufio.NewWriterSize(file, 256<<10)
	err := content(w)
	if err == nil {
		err = w.Flush()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file.Name(), err)
	}
	return nil
}

// each calls do for 0 ≤ i < n on all cores and returns the first error.
func each(ctx context.Context, n int, do func(i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	var taken atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for i := int(taken.Add(1)) - 1; i < n; i = int(taken.Add(1)) - 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := do(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// noiseBlock is how many random bytes are drawn at once.
const noiseBlock = 64 << 10

// fillNoise fills b with incompressible bytes, the same as writeNoise writes.
func fillNoise(b []byte, s *source) {
	for piece := range slices.Chunk(b, noiseBlock) {
		s.noise(piece)
	}
}

// writeNoise writes n incompressible bytes.
func writeNoise(w io.Writer, s *source, n int64) error {
	var block [noiseBlock]byte
	for n > 0 {
		piece := block[:min(n, noiseBlock)]
		s.noise(piece)
		if _, err := w.Write(piece); err != nil {
			return err
		}
		n -= int64(len(piece))
	}
	return nil
}
