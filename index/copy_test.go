package index

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// TestMain also is the other process of the tests that need two.
func TestMain(m *testing.M) {
	if dir := os.Getenv("HOLDFAST_TEST_INDEX"); dir != "" {
		if err := otherProcess(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// otherProcess opens the copy, and with every line it is sent says how many of
// the first thousand blobs it finds.
func otherProcess(dir string) error {
	c, err := Open(dir)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for {
		found := 0
		for n := range 1000 {
			has, err := c.Has(id(n))
			if err != nil {
				return err
			}
			if has {
				found++
			}
		}
		fmt.Println(found)
		if !lines.Scan() {
			return c.Close()
		}
	}
}

func build(t testing.TB, dir string, segments map[SegmentName]*Segment) *Copy {
	t.Helper()
	if err := Build(t.Context(), dir, segments); err != nil {
		t.Fatal(err)
	}
	return openCopy(t, dir)
}

func openCopy(t testing.TB, dir string) *Copy {
	t.Helper()
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// inSegments deals packs out to segments.
func inSegments(t testing.TB, packs []packed, count int) map[SegmentName]*Segment {
	segments := map[SegmentName]*Segment{}
	for i := range count {
		var part []packed
		for n := i; n < len(packs); n += count {
			part = append(part, packs[n])
		}
		segments[SegmentName{byte(i), byte(i >> 8)}] = segment(t, part)
	}
	return segments
}

func TestACopyFindsWhatItsSegmentsKnow(t *testing.T) {
	for name, idOf := range distributions {
		for _, c := range []struct{ blobs, segments int }{{0, 0}, {0, 1}, {1, 1}, {64, 2}, {5000, 7}} {
			packs := samplePacks(c.blobs, idOf)
			segments := inSegments(t, packs, c.segments)
			local := build(t, filepath.Join(t.TempDir(), "a", "b"), segments)
			what := fmt.Sprintf("%s, %d blobs in %d segments", name, c.blobs, c.segments)
			want := newModel(packs)
			if c.segments == 0 {
				want = model{}
			}
			want.check(t, what, local)
			if !slices.Equal(local.Segments(), sortedNames(segments)) || local.Contains(SegmentName{0xff}) {
				t.Errorf("%s: names %v", what, local.Segments())
			}
			got := model{}
			for e, err := range local.All() {
				if err != nil {
					t.Fatal(err)
				}
				got[e.ID] = append(got[e.ID], e)
			}
			entries := 0
			for i := range got {
				got[i] = sorted(got[i])
				entries += len(got[i])
			}
			if !reflect.DeepEqual(got, want) || local.Len() != uint64(entries) {
				t.Errorf("%s: all: %d blobs, %d entries of %d", what, len(got), entries, local.Len())
			}
		}
	}
}

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

func TestWhereThereIsNoCopyItIsToBeBuilt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, copyFile)
	missing := func(what string) {
		t.Helper()
		if c, err := Open(dir); !errors.Is(err, ErrNoCopy) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, %v", what, c, err)
		}
	}
	missing("nothing")
	for _, content := range []string{"", "x", strings.Repeat("x", 100_000), strings.Repeat("\x00", 100_000)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		missing(fmt.Sprintf("%d bytes of %.1q", len(content), content))
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	missing("somebody is writing to it")
	if time.Since(start) > 10*time.Second { // bbolt would wait forever
		t.Error("a reader waited for a lock")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	missing("an empty database")

	if err := Build(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newer := data[len(data)-structureEnd:] // layout, and further on its checksum
	newer[0]++
	table := data[len(data)-structureEnd-structurePage*int(newer[8]) : len(data)-8]
	binary.LittleEndian.PutUint32(newer[12:], crc32.Checksum(table, castagnoli))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	missing("another layout")
}

func TestACutCopyIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := Build(t.Context(), dir, inSegments(t, samplePacks(3000, id), 2)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, copyFile)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	used := openCopy(t, dir).tx.Size() // behind it the file is empty
	for size := min(info.Size(), used) - 1; size > 0; size -= 3001 {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); !errors.Is(err, ErrNoCopy) {
			t.Errorf("cut to %d of %d: %v", size, info.Size(), err)
		}
	}
}

// A file that is cut while it is mapped would be a fatal signal to a process that
// does not expect it.
func TestACopyThatIsCutWhileItIsOpen(t *testing.T) {
	dir := t.TempDir()
	c := build(t, dir, inSegments(t, samplePacks(3000, id), 2))
	if err := os.Truncate(filepath.Join(dir, copyFile), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Has(id(1)); !errors.Is(err, ErrNoCopy) {
		t.Errorf("has: %v", err)
	}
	if _, err := c.Lookup(id(1)); !errors.Is(err, ErrNoCopy) {
		t.Errorf("lookup: %v", err)
	}
	for _, err := range c.All() {
		if !errors.Is(err, ErrNoCopy) {
			t.Errorf("all: %v", err)
		}
	}
}

func TestFlippedAnywhereACopyIsRefusedOrRight(t *testing.T) {
	dir := t.TempDir()
	packs := samplePacks(60, id)
	if err := Build(t.Context(), dir, inSegments(t, packs, 2)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, copyFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := newModel(packs)
	refused := 0
	for at := range data {
		if data[at] == 0 && at%16 != 0 {
			continue // most of the file is empty
		}
		if _, err := f.WriteAt([]byte{data[at] ^ 1<<(at%8)}, int64(at)); err != nil {
			t.Fatal(err)
		}
		if err := readAll(dir, want); errors.Is(err, ErrNoCopy) {
			refused++
		} else if err != nil {
			t.Errorf("flipped at %d: %v", at, err)
		}
		if _, err := f.WriteAt(data[at:at+1], int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if refused < 60*rowSize/8 {
		t.Errorf("only %d damages were noticed", refused)
	}
	if err := readAll(dir, want); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

func readAll(dir string, want model) error {
	c, err := Open(dir)
	if err != nil {
		return err
	}
	defer c.Close()
	for i, copies := range want {
		got, err := c.Lookup(i)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(sorted(got), copies) {
			return fmt.Errorf("blob %s: %+v, want %+v", i.Short(), got, copies)
		}
	}
	return nil
}

func TestTwoProcessesShareACopy(t *testing.T) {
	dir := t.TempDir()
	packs := samplePacks(1000, id)
	half := build(t, dir, inSegments(t, packs[:3], 1))
	halfFound := len(newModel(packs[:3]))

	start := func() (io.Writer, *bufio.Scanner, func() error) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "HOLDFAST_TEST_INDEX="+dir)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return in, bufio.NewScanner(out), func() error { return errors.Join(in.Close(), cmd.Wait()) }
	}
	says := func(what string, out *bufio.Scanner, want int) {
		t.Helper()
		if !out.Scan() || out.Text() != fmt.Sprint(want) {
			t.Errorf("%s: the other process says %q, want %d", what, out.Text(), want)
		}
	}
	in, out, stop := start()
	says("while both have it open", out, halfFound)
	whole := build(t, dir, inSegments(t, packs, 2)) // while the other has the old one open
	newModel(packs).check(t, "the new copy here", whole)
	newModel(packs[:3]).check(t, "the old copy here", half)
	if _, err := fmt.Fprintln(in); err != nil {
		t.Fatal(err)
	}
	says("after it was built anew", out, halfFound)
	_, second, stopSecond := start()
	says("in a third process", second, 1000)
	if err := errors.Join(stop(), stopSecond()); err != nil {
		t.Error(err)
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

func TestChecksCoverEveryByte(t *testing.T) {
	for _, size := range []int{0, 1, blockSize - 1, blockSize, blockSize + 1, 3 * blockSize} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i * 7)
		}
		value := appendChecks(bytes.Clone(data))
		c, err := openChecked(value)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.bytes(0, size); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, err := c.bytes(0, size+1); !errors.Is(err, ErrNoCopy) {
			t.Errorf("%d bytes and one more: %v", size, err)
		}
		for at := 0; at < len(value); at += 1 + at/100 {
			flipped := bytes.Clone(value)
			flipped[at] ^= 4
			c, err := openChecked(flipped)
			if err == nil {
				_, err = c.bytes(0, size)
			}
			if !errors.Is(err, ErrNoCopy) {
				t.Errorf("%d bytes, flipped at %d: %v", size, at, err)
			}
			if c, err := openChecked(value[:at]); err == nil {
				if _, err = c.bytes(0, size); !errors.Is(err, ErrNoCopy) {
					t.Errorf("%d bytes, cut at %d: %v", size, at, err)
				}
			}
		}
	}
}

func FuzzChecked(f *testing.F) {
	f.Add(appendChecks(nil), 0, 0)
	f.Add(appendChecks(make([]byte, 5000)), 4000, 1000)
	f.Fuzz(func(t *testing.T, value []byte, off, n int) {
		c, err := openChecked(value)
		if err == nil {
			_, err = c.bytes(off, n)
		}
		if err != nil && !errors.Is(err, ErrNoCopy) {
			t.Error(err)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	const count = 200_000
	segments := map[SegmentName]*Segment{{1}: segment(b, samplePacks(count, id))}
	dir := b.TempDir()
	b.ReportAllocs()
	for b.Loop() {
		if err := Build(b.Context(), dir, segments); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(count/b.Elapsed().Seconds()*float64(b.N), "blobs/s")
}
