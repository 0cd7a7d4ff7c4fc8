package index

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// Above a megabyte there is more than one shard; bbolt still has few pages to
// look into.
func TestALargeCopyIsInShards(t *testing.T) {
	const count = 70_000
	packs := samplePacks(count, id)
	dir := t.TempDir()
	if err := Build(t.Context(), dir, inSegments(t, packs, 3)); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.bits != 2 || len(c.shards) != 4 {
		t.Errorf("%d shards of %d bits", len(c.shards), c.bits)
	}
	m := newModel(packs)
	for i := range m {
		if i[1] != 0 {
			delete(m, i) // a 256th will do
		}
	}
	for want, copies := range m {
		if got, err := c.Lookup(want); err != nil || !reflect.DeepEqual(sorted(got), copies) {
			t.Fatalf("%s: %+v, %v", want.Short(), got, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, copyFile), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := structureOf(db)
	if want := 2 + 1 + 1 + 4; err != nil || len(s.pages) != want { // metas, root, head, shards
		t.Errorf("%d pages with keys, %v; want %d", len(s.pages), err, want)
	}
}

func TestSupersededSegmentsAreContainedButDoNotCount(t *testing.T) {
	packs := samplePacks(600, id)
	c := build(t, t.TempDir(), map[SegmentName]*Segment{
		{1}: segment(t, packs[:2]),
		{2}: segment(t, packs[2:], SegmentName{1}),
	})
	newModel(packs[2:]).check(t, "without the superseded", c)
	if !c.Contains(SegmentName{1}) || !c.Contains(SegmentName{2}) {
		t.Errorf("contains %v", c.Segments())
	}
}

func TestACopyIsExtended(t *testing.T) {
	packs := samplePacks(3000, id)
	dir := t.TempDir()
	old := build(t, dir, map[SegmentName]*Segment{{1}: segment(t, packs[:5]), {3}: segment(t, packs[5:8])})
	newer := map[SegmentName]*Segment{{2}: segment(t, packs[7:])}
	if err := Extend(t.Context(), dir, old, newer); err != nil {
		t.Fatal(err)
	}
	c := openCopy(t, dir)
	newModel(packs).check(t, "extended", c)
	newModel(packs[:8]).check(t, "the one before", old)
	if !slices.Equal(c.Segments(), []SegmentName{{1}, {2}, {3}}) {
		t.Errorf("contains %v", c.Segments())
	}
	err := Extend(t.Context(), dir, c, map[SegmentName]*Segment{{4}: segment(t, nil, SegmentName{3})})
	if !errors.Is(err, ErrNoCopy) {
		t.Errorf("extended by what supersedes a part: %v", err)
	}
}

func TestABuildLeavesNothingButTheCopy(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "index")
	build(t, dir, inSegments(t, samplePacks(100, id), 2))
	check := func(what string, want ...string) {
		t.Helper()
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range files {
			names = append(names, f.Name())
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: %v, want %v", what, names, want)
		}
	}
	check("after a build", copyFile)
	for path, want := range map[string]fs.FileMode{dir: fs.ModeDir | 0o700, filepath.Join(dir, copyFile): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v; want %v", path, info.Mode(), err, want)
		}
	}

	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := Build(stopped, dir, inSegments(t, samplePacks(100, id), 2)); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	check("after a build that was stopped", copyFile)

	data := encode(t, samplePacks(100, id))
	at := &distant{ReaderAt: bytes.NewReader(data)}
	s, err := OpenSegment(at, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	at.err = errors.New("connection reset")
	err = Build(t.Context(), dir, map[SegmentName]*Segment{{0xab}: s})
	if !errors.Is(err, at.err) || !strings.Contains(err.Error(), ObjectName(SegmentName{0xab})) {
		t.Errorf("segment out of reach: %v", err)
	}
	check("after a build that failed", copyFile)
	newModel(samplePacks(100, id)).check(t, "the copy before", openCopy(t, dir))

	if err := os.MkdirAll(filepath.Join(dir, "build-killed"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "build-killed", "spill-00"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := buildDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	build(t, dir, nil)
	check("beside another build, and after a killed one", filepath.Base(busy.path), copyFile)
	if err := busy.remove(); err != nil {
		t.Error(err)
	}
}

// TestBuildsAtOnceDoNotRemoveEachOthers directories, which are not locked yet when they
// have just been made.
func TestBuildsAtOnceDoNotRemoveEachOthers(t *testing.T) {
	dir := t.TempDir()
	var builds sync.WaitGroup
	for range 8 {
		builds.Go(func() {
			for range 100 {
				w, err := buildDir(dir)
				if err != nil {
					t.Error(err)
					return
				}
				if err := errors.Join(os.WriteFile(filepath.Join(w.path, "part"), nil, 0o600), w.remove()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	builds.Wait()
}
