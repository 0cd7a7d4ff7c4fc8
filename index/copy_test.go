package index

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
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
		for _, c := range []struct{ blobs, segments int }{{0, 0}, {0, 1}, {1, 1}, {64, 2}, {2000, 7}} {
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

// TestARestrictedCopy knows what it would if it had been built of these packs alone,
// and more again when it is restricted to more.
func TestARestrictedCopy(t *testing.T) {
	packs := samplePacks(2000, id)
	local := build(t, t.TempDir(), inSegments(t, packs, 3))
	for _, keep := range []int{len(packs), len(packs) / 2, 1, 0, len(packs)} {
		kept := map[Pack]bool{}
		for _, p := range packs[:keep] {
			kept[p.pack] = true
		}
		if err := local.Restrict(func(p Pack) bool { return kept[p] }); err != nil {
			t.Fatal(err)
		}
		want := newModel(packs[:keep])
		want.check(t, fmt.Sprintf("%d of %d packs", keep, len(packs)), local)
		for _, p := range packs[keep:] {
			for _, e := range p.entries {
				if has, err := local.Has(e.ID); err != nil || has != (len(want[e.ID]) > 0) {
					t.Errorf("%d of %d packs: has %s: %v, %v", keep, len(packs), e.ID.Short(), has, err)
				}
			}
		}
		named, err := local.Packs()
		if err != nil || len(named) != keep {
			t.Errorf("%d packs named, want %d: %v", len(named), keep, err)
		}
	}
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
