package files

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"holdfast/engines/enginetest"
)

// BenchmarkMark is the time of a mark, during which visitors wait, on a mount of
// many files of which a site touches a hundred a second.
func BenchmarkMark(b *testing.B) {
	const files, touched = 200_000, 100
	root := scratchDir(b)
	for i := range files {
		if i%100 == 0 {
			check(b, os.MkdirAll(filepath.Join(root, fmt.Sprintf("%04d", i/100)), 0o755))
		}
		check(b, os.WriteFile(filepath.Join(root, fmt.Sprintf("%04d/%06d", i/100, i)), []byte(fmt.Sprint(i)), 0o644))
	}
	sink := enginetest.NewMemory()
	parent := capture(b, mountService(root), sink)
	for name, follow := range map[string]func(int) (*watch, error){"events": startWatch, "walk": unwatched} {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				b.StopTimer()
				made, err := Engine.Source(mountService(root))
				check(b, err)
				made.(*source).follow = follow
				next := sink.Next(parent.Entries)
				check(b, made.Prepare(b.Context(), next))
				for k := range touched {
					n := (k*1999 + i*7) % files
					check(b, os.WriteFile(filepath.Join(root, fmt.Sprintf("%04d/%06d", n/100, n)), []byte("touched"), 0o644))
				}
				b.StartTimer()
				_, err = made.Mark(b.Context(), next)
				b.StopTimer()
				check(b, err, made.Close())
				b.StartTimer()
			}
		})
	}
}
