// Package corpus makes the data that Holdfast is measured on.
//
// Nothing is stored or downloaded: everything is computed from a seed, file by
// file, in a fixed small amount of memory, and is the same on every machine and
// with every Go version. A day's change is computed the same way, so that a year
// of backups can be played through.
//
//	seed, path -> source (numbers) -> vocabulary, rows, grammar, noise -> file
//
// Three corpora share one shape, Create for the first day and NextDay for each
// one that follows:
//
//   - Mixed: a web site's disk, 963 MB in 10,273 files
//   - Small: very many files of about 1 KB
//   - Dump: one single dump of any size
//
// Invariants:
//
//  1. A file's bytes depend on the seed, its name, its size and the day, never on
//     the order in which files are written.
//  2. NextDay touches what it changes and nothing else: the other files keep
//     their inode and their time stamps.
//  3. Text compresses about as well as what it imitates: an SQL dump ×2.4 and
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

// appendFile adds what content writes to the end of an existing file.
func appendFile(path string, content func(w *bufio.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
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

// overwriteAt writes b into the existing file at path.
func overwriteAt(path string, offset int64, b []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteAt(b, offset); err != nil {
		return err
	}
	return file.Close()
}

// writeNoise writes n incompressible bytes.
func writeNoise(w io.Writer, s *source, n int64) error {
	var block [64 << 10]byte
	for n > 0 {
		piece := block[:min(n, int64(len(block)))]
		s.noise(piece)
		if _, err := w.Write(piece); err != nil {
			return err
		}
		n -= int64(len(piece))
	}
	return nil
}
