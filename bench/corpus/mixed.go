package corpus

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"path/filepath"
)

// What the Mixed corpus holds at scale 1: 963 MB in 10,273 files.
const (
	dumpBytes   = 124_000_000
	codeFiles   = 9_671     // 124 MB
	imageFiles  = 600       // 446 MB
	volumeBytes = 256 << 20 // ¼ random, ¼ zero, ½ text

	newImages    = 10   // a day
	volumeWrites = 20   // a day
	volumeWrite  = 8192 // bytes each
)

// Mixed is the disk of a web site: an SQL dump, source code in many small files,
// uploaded images and the image of a volume.
//
// A day appends to 2 % of the code files, adds ten new images, writes 8 KB at
// 20 random places of the volume, and dumps a database of which between 0.4 % of
// the rows and, among the newest, 10 % were updated, 0.2 % deleted and 1 % added.
type Mixed struct {
	Seed  uint64
	Scale float64 // 1 is the full size; 0 means 1
}

// scaled returns n times the scale, at least 1.
func (m Mixed) scaled(n int) int {
	if m.Scale == 0 {
		return n
	}
	return max(1, int(float64(n)*m.Scale+0.5))
}

// Create writes the corpus of the first day into dir.
func (m Mixed) Create(ctx context.Context, dir string) error {
	code, images := m.scaled(codeFiles), m.scaled(imageFiles)
	return each(ctx, 2+code+images, func(i int) error {
		switch {
		case i == 0:
			return m.writeDump(ctx, dir, 0)
		case i == 1:
			return m.writeVolume(dir)
		case i < 2+code:
			return m.writeCode(dir, i-2)
		default:
			image := i - 2 - code
			return m.writeImage(dir, image, 20_000+int(1_447_000*spread(image)>>16))
		}
	})
}

// NextDay changes what Create and the days before made into the corpus of the
// given day, counted from 1.
func (m Mixed) NextDay(ctx context.Context, dir string, day int) error {
	if err := m.writeDump(ctx, dir, day); err != nil {
		return err
	}
	for c := range m.changes(day) {
		if err := c.apply(dir); err != nil {
			return err
		}
	}
	return nil
}

// News writes into dir what is new on a day and nothing else.
func (m Mixed) News(ctx context.Context, dir string, day int) error {
	if err := m.dump().News(ctx, filepath.Join(dir, "database"), day); err != nil {
		return err
	}
	return newsOf(dir, m.changes(day))
}

// changes yields what a day changes beside the dump.
func (m Mixed) changes(day int) iter.Seq[change] {
	return func(yield func(change) bool) {
		s := newSource(m.Seed, partChange, uint64(day))
		for i := range m.scaled(codeFiles) {
			if !s.chance(20_000) {
				continue
			}
			if !yield(change{path: codePath(m.Seed, i), at: atEnd, content: appendCode(nil, s, s.between(200, 1500))}) {
				return
			}
		}
		first := m.scaled(imageFiles) + (day-1)*m.scaled(newImages)
		for i := range m.scaled(newImages) {
			image := m.image(first+i, s.between(800_000, 1_500_000))
			if !yield(change{path: imagePath(first + i), at: newFile, content: image}) {
				return
			}
		}
		block := make([]byte, volumeWrite)
		for range m.scaled(volumeWrites) {
			s.noise(block)
			if !yield(change{path: volumePath, at: int64(s.below(m.volumeSize() - volumeWrite)), content: block}) {
				return
			}
		}
	}
}

func (m Mixed) dump() Dump { return Dump{Seed: m.Seed, Size: int64(m.scaled(dumpBytes))} }

func (m Mixed) writeDump(ctx context.Context, dir string, day int) error {
	return m.dump().NextDay(ctx, filepath.Join(dir, "database"), day)
}

func (m Mixed) writeCode(dir string, i int) error {
	return writeFile(filepath.Join(dir, codePath(m.Seed, i)), func(w *bufio.Writer) error {
		return writeCodeFile(w, newSource(m.Seed, partCode, uint64(i)), codeSize(i))
	})
}

// codePath returns the place of the i-th code file, 40 to a directory.
func codePath(seed uint64, i int) string {
	folder := newSource(seed, partCode, uint64(i/40), 1)
	name := newSource(seed, partCode, uint64(i), 2)
	return filepath.Join("code", fmt.Sprintf("%s%02d", language().word(folder), i/400), fmt.Sprintf("%s%03d", language().word(folder), i/40),
		fmt.Sprintf("%s_%s%d.go", language().word(name), language().word(name), i%40))
}

// codeSize is 0.6 to 50 KB, mostly small, 12.8 KB in the mean.
func codeSize(i int) int {
	x := spread(i)
	return 600 + int(43_600*(x*x>>16*x>>16)>>16)
}

// spread returns, of 65,536, a part for the i-th of many things that lies as far
// as possible from those before it, so that sums hardly vary.
func spread(i int) uint64 { return uint64(uint32(i+1)*2_654_435_769) >> 16 }

func (m Mixed) writeImage(dir string, i, size int) error {
	return change{path: imagePath(i), at: newFile, content: m.image(i, size)}.apply(dir)
}

func (m Mixed) image(i, size int) []byte {
	image := make([]byte, size)
	fillNoise(image, newSource(m.Seed, partImages, uint64(i)))
	return image
}

func imagePath(i int) string {
	return filepath.Join("uploads", "2026", fmt.Sprintf("%02d", i/60+1), fmt.Sprintf("IMG_%05d.jpg", i))
}

const (
	volumePath    = "volumes/data.img"
	volumeExtents = 64
)

func (m Mixed) volumeSize() int { return m.scaled(volumeBytes) / volumeExtents * volumeExtents }

// writeVolume writes the volume's image: extents of random bytes, zeros and text
// in a shuffled order. Zeros are written, not left out as holes.
func (m Mixed) writeVolume(dir string) error {
	s := newSource(m.Seed, partVolume)
	var order [volumeExtents]int
	for i := range order {
		j := s.below(i + 1)
		order[i], order[j] = order[j], i
	}
	size := m.volumeSize() / volumeExtents
	zeros := make([]byte, size)
	return writeFile(filepath.Join(dir, volumePath), func(w *bufio.Writer) error {
		for _, kind := range order {
			var err error
			switch kind % 4 {
			case 0:
				err = writeNoise(w, s, int64(size))
			case 1:
				_, err = w.Write(zeros)
			default:
				err = writeText(w, s, size)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// writeText writes exactly n bytes of prose.
func writeText(w *bufio.Writer, s *source, n int) error {
	var text []byte
	for n > 0 {
		text = append(language().appendProse(text[:0], s, 1000), '\n')
		text = text[:min(n, len(text))]
		if _, err := w.Write(text); err != nil {
			return err
		}
		n -= len(text)
	}
	return nil
}
