package repo_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"holdfast/internal/seal"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/check"
)

// TestAFlippedVersionIsDamage: an object whose version byte was flipped is not taken
// for one that a newer program wrote; only where such a program has announced that
// version it is.
func TestAFlippedVersionIsDamage(t *testing.T) {
	m := twoDays(t)
	cases := 0
	for _, object := range m.store.Names() {
		for bit := range 8 {
			state := m.store.Clone()
			data, _ := state.Object(object)
			data[5] ^= 1 << bit
			state.Replace(object, data)
			cases++
			if found := versionErrors(t, state); len(found) > 0 {
				t.Errorf("%s, bit %d: no damage: %v", object, bit, found)
			}
			if data[5] == 0 || strings.HasPrefix(object, "packs/") { // those are compared with their name first
				continue
			}
			state.Replace(fmt.Sprintf("versions/%03d", data[5]), nil)
			if found := versionErrors(t, state); len(found) == 0 {
				t.Errorf("%s, bit %d: an announced version is taken for damage", object, bit)
			}
		}
	}
	t.Attr("cases", strconv.Itoa(cases))
}

// versionErrors opens and checks a repository, in which something is wrong, and
// returns the errors that say that a newer program is needed.
func versionErrors(t *testing.T, state *storagetest.Memory) (found []error) {
	t.Helper()
	r, err := openMemory(t, state, "")
	if err != nil {
		if errors.Is(err, seal.ErrVersion) {
			found = append(found, err)
		}
		return found
	}
	report, err := check.Run(t.Context(), r, check.Options{ReadData: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Problems) == 0 {
		t.Error("check finds nothing")
	}
	for _, p := range report.Problems {
		if repo.Foreign(p.Err) {
			found = append(found, p.Err)
		}
	}
	return found
}
