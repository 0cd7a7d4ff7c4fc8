package gc

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/repo"
	"holdfast/repo/trace"
)

// TestMemory measures what a collection keeps for HOLDFAST_BLOBS blobs, a fifth of
// them deltas, in an index of that size: merging it, the bits of the walk, the
// choice of copies and of packs. Some memory for each snapshot, and what reading
// listings takes, comes on top.
func TestMemory(t *testing.T) {
	blobs, err := strconv.Atoi(os.Getenv("HOLDFAST_BLOBS"))
	if err != nil {
		blobs = 200_000
	}
	segments := syntheticIndex(t, blobs)
	runtime.GC()
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak begins anew
	stop := watchHeap()
	began := time.Now()

	local, err := index.Temporary(t.Context(), t.TempDir(), segments)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	merged := time.Since(began)
	catalog := &repo.Catalog{Copy: local}
	if catalog.Packs, err = local.Packs(); err != nil {
		t.Fatal(err)
	}
	s := &survey{catalog: catalog, stored: map[[32]byte]int64{}, open: map[repo.Name]bool{}, absent: map[[32]byte]bool{}}
	for _, p := range catalog.Packs {
		s.stored[p.Name] = int64(p.Size)
	}
	walker := trace.New(nil, catalog, &roots{})
	c := &tracing{choice: newChoice(catalog, func([32]byte) (bool, bool) { return true, true })}
	before := walker.Reached().Clone()
	for place := range int(catalog.Len()) {
		if place%3 > 0 { // a third is garbage
			if err := c.need(place); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.lasting = c.kept.Clone()
	if err := c.weigh(s); err != nil {
		t.Fatal(err)
	}
	var packs []candidate
	for i, p := range catalog.Packs {
		packs = append(packs, candidate{name: p.Name, size: uint64(p.Size), sealed: c.sealed[i], needed: c.needed[i]})
	}
	chosen := worthCondemning(packs, 0, repo.MaxCondemned, true)
	took := time.Since(began)
	heap := stop()
	runtime.KeepAlive(before)
	t.Logf("%d blobs, %d packs, %d chosen: heap %d MB at most, %.0f bytes for each blob; resident %d MB with the mapped file; %v to merge, %v in all",
		blobs, len(packs), len(chosen), heap>>20, float64(heap)/float64(blobs), peakResident(t)>>20, merged.Round(time.Second), took.Round(time.Second))
	if c.kept.Count() == 0 || len(chosen) == 0 {
		t.Error("it has done nothing")
	}
	// 100 million blobs in 2 GB are 20 bytes for each; what does not depend on their
	// number is left out.
	if perBlob := float64(heap-min(heap, 256<<20)) / float64(blobs); perBlob > 20 {
		t.Errorf("%.0f bytes for each blob", perBlob)
	}
}

const perPack, perSegment = 64, 1 << 17

// syntheticIndex makes segments, as files, of blobs that are nowhere.
func syntheticIndex(t *testing.T, blobs int) map[index.SegmentName]*index.Segment {
	t.Helper()
	dir := t.TempDir()
	segments := map[index.SegmentName]*index.Segment{}
	for from := 0; from < blobs; from += perSegment {
		var b index.Builder
		for first := from; first < min(blobs, from+perSegment); first += perPack {
			b.AddPack(index.Pack{Name: numbered(-1 - first), Size: 8 << 20}, syntheticPack(first))
		}
		data, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fmt.Sprint(from))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		s, err := index.OpenSegment(f, int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		name := numbered(from)
		segments[index.SegmentName(name[:])] = s
	}
	return segments
}

func syntheticPack(first int) []index.Entry {
	entries := make([]index.Entry, perPack)
	for i := range entries {
		e := &entries[i]
		*e = index.Entry{ID: numbered(first + i), Offset: uint32(48 + 100_000*i), Sealed: 100_000, Length: 200_000, Number: uint32(i)}
		if i%5 == 4 {
			e.Encoding, e.Depth, e.Bases = 2, 1, []blob.ID{numbered(first + i - 1)}
		}
	}
	return entries
}

func numbered(n int) blob.ID {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

// watchHeap returns what the heap was at most until stop is called.
func watchHeap() (stop func() uint64) {
	most := uint64(0)
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return func() uint64 {
		close(done)
		watcher.Wait()
		return most
	}
}

func peakResident(t *testing.T) uint64 {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
