package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast/internal/storage"
)

// This part of the suite is about several users at once.

func testRaceForOneName(t *testing.T, s storage.Storage) {
	const rounds, contenders = 10, 8
	for round := range rounds {
		name := fmt.Sprintf("condemned/%08d", round)
		errs := make([]error, contenders)
		atOnce(contenders, func(i int) {
			errs[i] = s.Put(t.Context(), name, bytes.Repeat([]byte{byte('a' + i)}, 1000))
		})
		winner := slices.Index(errs, nil)
		if winner < 0 {
			t.Fatalf("nobody won: %v", errs)
		}
		if got := content(t, s, name); got != strings.Repeat(string(rune('a'+winner)), 1000) {
			t.Errorf("the object is not what its winner put")
		}
		for i, err := range errs {
			if i != winner {
				wantError(t, err, storage.ErrExist, name)
			}
		}
	}
}

func testSameContentsRace(t *testing.T, s storage.Storage) {
	errs := make([]error, 8)
	atOnce(len(errs), func(i int) { errs[i] = s.Put(t.Context(), "packs/aa/aa00", []byte("equal")) })
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

func testManyAtOnce(t *testing.T, s storage.Storage) {
	errs := make([]error, 100)
	atOnce(len(errs), func(i int) {
		name := fmt.Sprintf("packs/%02d/%03d", i%50, i)
		p := make([]byte, len(name))
		_, statError := s.Stat(t.Context(), name)
		if !errors.Is(statError, fs.ErrNotExist) {
			errs[i] = fmt.Errorf("%s is there before it was put: %v", name, statError)
		} else if errs[i] = s.Put(t.Context(), name, []byte(name)); errs[i] == nil {
			if _, err := s.ReadAt(t.Context(), name, p, 0); err != nil && err != io.EOF || string(p) != name {
				errs[i] = fmt.Errorf("%s holds %q: %v", name, p, err)
			}
		}
	})
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if got := list(t, s, "packs"); len(got) != len(errs) {
		t.Errorf("%d objects are listed, want %d", len(got), len(errs))
	}
}

// A directory that goes with its last object must not take a new one along.
func testDeleteWhilePut(t *testing.T, s storage.Storage) {
	errs := make([]error, 8)
	atOnce(len(errs), func(i int) {
		for round := range 25 {
			name := fmt.Sprintf("leases/place/%d-%d", i, round)
			err := s.Put(t.Context(), name, []byte(name))
			if err == nil {
				_, err = s.Stat(t.Context(), name)
			}
			if err == nil {
				err = s.Delete(t.Context(), name)
			}
			errs[i] = errors.Join(errs[i], err)
		}
	})
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

// atOnce calls f with 0 to n-1, each in a goroutine, and waits for them.
func atOnce(n int, f func(i int)) {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	group.Wait()
}
