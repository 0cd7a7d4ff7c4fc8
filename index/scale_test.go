package index

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/blob"
)

const (
	segmentBlobs = 1_000_000 // in each segment but the last
	packBlobs    = 250       // in each pack: 16 MB of chunks of 64 KB
)

// blobCounts is how many blobs the index is measured with: a million, or what
// HOLDFAST_BENCH_BLOBS says, with commas between. A hundred million need 20 GB of
// disk for a while.
func blobCounts(b *testing.B) []int {
	list := os.Getenv("HOLDFAST_BENCH_BLOBS")
	if list == "" {
		return []int{1_000_000}
	}
	var counts []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			b.Fatalf("HOLDFAST_BENCH_BLOBS: %q is no number of blobs", field)
		}
		counts = append(counts, n)
	}
	return counts
}

// numbered returns an id that looks like a hash, faster than id does.
func numbered(n int) (out blob.ID) {
	state := uint64(n) * 4
	for i := 0; i < len(out); i += 8 {
		state++
		z := state * 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(out[i:], z^z>>31)
	}
	return out
}

// fill adds the packs of the blobs from one number to another; every third blob is
// a delta.
func fill(into *Builder, from, to int) {
	entries := make([]Entry, 0, packBlobs)
	for n := from; n < to; n++ {
		e := Entry{ID: numbered(n), Offset: uint32(packHeader + len(entries)*30_000), Sealed: 30_000, Length: 64 << 10, Number: uint32(len(entries)), Encoding: 1}
		if n%3 == 0 {
			e.Encoding, e.Depth, e.Bases = 3, 1, []blob.ID{numbered(n + 1)}
		}
		entries = append(entries, e)
		if len(entries) == packBlobs || n == to-1 {
			into.AddPack(packOf(n), entries)
			entries = entries[:0]
		}
	}
}

// manySegments writes segments of count blobs into files and opens them there.
func manySegments(b *testing.B, count int) map[SegmentName]*Segment {
	b.Helper()
	dir := b.TempDir()
	segments := map[SegmentName]*Segment{}
	for from := 0; from < count; from += segmentBlobs {
		var into Builder
		fill(&into, from, min(from+segmentBlobs, count))
		data, err := into.Encode()
		if err != nil {
			b.Fatal(err)
		}
		path := filepath.Join(dir, strconv.Itoa(from))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			b.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { file.Close() })
		s, err := OpenSegment(file, int64(len(data)))
		if err != nil {
			b.Fatal(err)
		}
		name := SegmentName{15: 1}
		binary.BigEndian.PutUint64(name[:], uint64(from))
		segments[name] = s
	}
	return segments
}

// What a repository asks its index for at scale: segments made and merged into the
// local copy, blobs that are known and blobs that are new.
func BenchmarkScale(b *testing.B) {
	for _, count := range blobCounts(b) {
		name := strconv.Itoa(count)
		b.Run(fmt.Sprintf("insert/segment/%d", min(count, segmentBlobs)), func(b *testing.B) { benchmarkSegment(b, min(count, segmentBlobs)) })
		segments, dir := manySegments(b, count), b.TempDir()
		b.Run("insert/copy/"+name, func(b *testing.B) { benchmarkCopy(b, dir, segments, count) })
		local, err := Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		defer local.Close()
		b.Run("lookup/copy/"+name, func(b *testing.B) { benchmarkLookups(b, local, count) })
		if count <= segmentBlobs {
			for _, s := range segments {
				b.Run("lookup/segment/"+name, func(b *testing.B) { benchmarkLookups(b, s, count) })
			}
		}
	}
}

func benchmarkSegment(b *testing.B, count int) {
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		var into Builder
		fill(&into, 0, count)
		data, err := into.Encode()
		if err != nil {
			b.Fatal(err)
		}
		size = len(data)
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/float64(count), "ns/blob")
	b.ReportMetric(float64(size)/float64(count), "bytes/blob")
}

func benchmarkCopy(b *testing.B, dir string, segments map[SegmentName]*Segment, count int) {
	b.ReportAllocs()
	stop := watchHeap()
	for b.Loop() {
		if err := Build(b.Context(), dir, segments); err != nil {
			b.Fatal(err)
		}
	}
	peak := stop()
	info, err := os.Stat(filepath.Join(dir, copyFile))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/float64(count), "ns/blob")
	b.ReportMetric(float64(info.Size())/float64(count), "bytes/blob")
	b.ReportMetric(float64(peak)/1e6, "heap-MB")
}

// watchHeap looks at the size of the heap until the returned function is called,
// which returns the largest it has seen.
func watchHeap() (stop func() uint64) {
	var largest uint64
	end := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			largest = max(largest, m.HeapInuse)
			select {
			case <-end:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	return func() uint64 {
		close(end)
		watcher.Wait()
		return largest
	}
}

func benchmarkLookups(b *testing.B, x lookuper, count int) {
	const asked = 1 << 16
	known, absent := make([]blob.ID, asked), make([]blob.ID, asked)
	for i := range known {
		known[i] = numbered(int(uint64(i) * 2_654_435_761 % uint64(count)))
		absent[i] = numbered(count + 1 + i)
	}
	for _, c := range []struct {
		name string
		ids  []blob.ID
		want bool
	}{{"has/known", known, true}, {"has/new", absent, false}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if has, err := x.Has(c.ids[i%asked]); has != c.want || err != nil {
					b.Fatal(has, err)
				}
			}
		})
	}
	b.Run("places", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if entries, err := x.Lookup(known[i%asked]); len(entries) != 1 || err != nil {
				b.Fatal(entries, err)
			}
		}
	})
}
