package sqlite

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestLockHolders(t *testing.T) {
	locks := fmt.Sprintf(`1: POSIX  ADVISORY  WRITE 3711 08:02:42 1073741825 1073741825
2: POSIX  ADVISORY  READ 3712 08:02:42 1073741826 1073742335
3: POSIX  ADVISORY  READ 3712 08:02:43 128 128
4: FLOCK  ADVISORY  WRITE 3713 08:02:42 0 EOF
5: POSIX  ADVISORY  WRITE 3714 08:02:44 0 EOF
6: POSIX  ADVISORY  WRITE %d 08:02:42 0 EOF
7: POSIX  ADVISORY  WRITE 0 00:3e:42 0 EOF
7: -> POSIX  ADVISORY  WRITE 3715 08:02:42 0 EOF
8: POSIX
`, os.Getpid())
	writers, readers := lockHolders(strings.NewReader(locks), []uint64{42, 43})
	if !slices.Equal(writers, []int{3711}) || !slices.Equal(readers, []int{3712}) {
		t.Errorf("writers %v, readers %v", writers, readers)
	}
}

func FuzzLockHolders(f *testing.F) {
	f.Add("1: POSIX  ADVISORY  WRITE 3711 08:02:42 1073741825 1073741825\n")
	f.Add("1: POSIX a b c d")
	f.Fuzz(func(_ *testing.T, locks string) {
		lockHolders(strings.NewReader(locks), []uint64{42})
	})
}
