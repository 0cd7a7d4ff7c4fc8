package gc

import (
	"slices"
	"testing"
)

func TestWhatIsWorthCondemning(t *testing.T) {
	const mib = 1 << 20
	p := func(name byte, size, sealed, needed uint64) candidate {
		return candidate{name: [32]byte{name}, size: size * mib, sealed: sealed * mib, needed: needed * mib}
	}
	var little []candidate
	for i := range byte(20) {
		little = append(little, p('a'+i, 1, 1, 1))
	}
	for name, c := range map[string]struct {
		packs     []candidate
		maxRepack int64 // MiB
		room      int
		want      string
	}{
		"nothing":                          {nil, 0, 9, ""},
		"what nobody needs":                {[]candidate{p('a', 8, 8, 0), p('b', 8, 8, 8)}, 0, 9, "a"},
		"unfinished work":                  {[]candidate{p('a', 8, 0, 0)}, 0, 9, "a"},
		"a fifth is wasted":                {[]candidate{p('a', 10, 10, 8), p('b', 10, 10, 9)}, 0, 9, "a"},
		"the worst first, in a budget":     {[]candidate{p('a', 10, 10, 7), p('b', 10, 10, 2), p('c', 10, 10, 4)}, 6, 9, "bc"},
		"what fits beside one that is not": {[]candidate{p('a', 10, 10, 5), p('b', 10, 10, 6)}, 5, 9, "a"},
		"no more than there is room":       {[]candidate{p('a', 8, 8, 0), p('b', 8, 8, 0), p('c', 8, 8, 0)}, 0, 2, "ab"},
		"few small ones stay":              {little[:8], 0, 99, ""},
		"many small ones are put together": {little, 0, 99, "abcdefghijklmnopqrst"},
	} {
		var got []byte
		for _, chosen := range worthCondemning(slices.Clone(c.packs), c.maxRepack*mib, c.room, true) {
			got = append(got, chosen.name[0])
		}
		if slices.Sort(got); string(got) != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
