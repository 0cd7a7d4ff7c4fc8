package tree

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"holdfast/internal/blob"
)

func ref(n byte, size uint64) Ref { return Ref{ID: blob.ID{n}, Size: size} }

func samples() []Entry {
	at := Time{Sec: -5, Nsec: 999_999_999}
	return []Entry{
		{Name: "\xff not UTF-8", Type: File, Mode: 0o4755, MTime: at, CTime: at},
		{Name: "directory", Type: Directory, Mode: 0o755, Size: 10, Entries: 2, Content: Stream{Refs: []Ref{ref(1, 70)}}},
		{Name: "hard link", Type: File, Link: 7, Size: 3, Inode: 7, Content: Stream{Refs: []Ref{ref(2, 3)}}, Suspect: true},
		{Name: "link", Type: Symlink, Target: "../anywhere"},
		{Name: "owned", Type: File, UID: 1, GID: 2, User: "u", Group: "g",
			Xattrs: []Xattr{{Name: "user.a", Value: []byte{0, 1}}, {Name: "user.b", Value: []byte{}}}},
		{Name: "sparse", Type: File, Size: 100, Holes: []Extent{{Offset: 0, Length: 10}, {Offset: 50, Length: 50}},
			Content: Stream{Refs: []Ref{{ID: blob.ID{3}, Level: 2, Size: 40}}}},
		{Name: "tty", Type: CharDevice, Device: 5<<32 | 1},
	}
}

func encode(t testing.TB, entries []Entry) []byte {
	t.Helper()
	var listing []byte
	for i := range entries {
		var err error
		if listing, err = AppendEntry(listing, &entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	return listing
}

func decodeAll(listing []byte) (all []Entry, err error) {
	for e, err := range Entries(bytes.NewReader(listing)) {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

func inOrder() []Entry {
	s := samples()
	return append(s[1:], s[0])
}

func TestListingRoundTrip(t *testing.T) {
	want := inOrder()
	got, err := decodeAll(encode(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded\n%+v\nwant\n%+v", got, want)
	}
}

func TestListingIsRefusedWhenCutOrOutOfOrder(t *testing.T) {
	listing := encode(t, inOrder())
	whole := map[int]bool{0: true}
	at := 0
	for _, e := range inOrder() {
		at += len(encode(t, []Entry{e}))
		whole[at] = true
	}
	for cut := range listing {
		if _, err := decodeAll(listing[:cut]); (err == nil) != whole[cut] {
			t.Errorf("cut at %d: %v", cut, err)
		} else if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("cut at %d: %v is no ErrInvalid", cut, err)
		}
	}
	twice := append(bytes.Clone(listing), listing...)
	if _, err := decodeAll(twice); !errors.Is(err, ErrInvalid) {
		t.Errorf("names out of order: %v", err)
	}
}

func TestHostileEntriesAreRefused(t *testing.T) {
	for name, e := range map[string]Entry{
		"no name":             {Type: File},
		"dot":                 {Name: ".", Type: File},
		"parent":              {Name: "..", Type: File},
		"absolute":            {Name: "/etc/passwd", Type: File},
		"escape":              {Name: "../x", Type: File},
		"NUL":                 {Name: "a\x00b", Type: File},
		"long name":           {Name: strings.Repeat("a", MaxName+1), Type: File},
		"no type":             {Name: "a"},
		"unknown type":        {Name: "a", Type: 99},
		"mode":                {Name: "a", Type: File, Mode: 0o10000},
		"time":                {Name: "a", Type: File, MTime: Time{Nsec: 1e9}},
		"link without target": {Name: "a", Type: Symlink},
		"target without link": {Name: "a", Type: File, Target: "b"},
		"directory hard link": {Name: "a", Type: Directory, Link: 1},
		"hole outside":        {Name: "a", Type: File, Size: 5, Holes: []Extent{{Offset: 4, Length: 2}}},
		"hole overflow":       {Name: "a", Type: File, Size: 5, Holes: []Extent{{Offset: 1, Length: 1<<64 - 1}}},
		"holes touch":         {Name: "a", Type: File, Size: 9, Holes: []Extent{{Offset: 0, Length: 2}, {Offset: 2, Length: 7}}},
		"content and size":    {Name: "a", Type: File, Size: 5, Content: Stream{Refs: []Ref{ref(1, 4)}}},
		"content of a fifo":   {Name: "a", Type: FIFO, Content: Stream{Refs: []Ref{ref(1, 4)}}},
		"entries in a file":   {Name: "a", Type: File, Entries: 1},
		"many attributes":     {Name: "a", Type: File, Xattrs: make([]Xattr, maxItems+1)},
	} {
		if _, err := AppendEntry(nil, &e); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefsRoundTripAndBounds(t *testing.T) {
	refs := []Ref{{ID: blob.ID{1}, Size: 5}, {ID: blob.ID{2}, Level: 3, Size: 1 << 40}}
	data := AppendRefs(nil, refs)
	got, err := DecodeRefs(data, 4)
	if err != nil || !reflect.DeepEqual(got, refs) {
		t.Errorf("decoded %v, %v", got, err)
	}
	if _, err := DecodeRefs(data, 3); !errors.Is(err, ErrInvalid) {
		t.Errorf("a ref of its list's own level: %v", err)
	}
	for cut := 1; cut < len(data); cut++ {
		if _, err := DecodeRefs(data[:cut], 4); (err == nil) != (cut == refSize) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	for name, bad := range map[string][]Ref{"empty ref": {{ID: blob.ID{1}}}, "sum overflows": {ref(1, 1<<63-1), ref(2, 1)}} {
		if _, err := DecodeRefs(AppendRefs(nil, bad), 4); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFillHoles(t *testing.T) {
	e := Entry{Size: 10, Holes: []Extent{{Offset: 0, Length: 2}, {Offset: 5, Length: 3}}}
	got, err := io.ReadAll(FillHoles(e, strings.NewReader("abcde")))
	if want := "\x00\x00abc\x00\x00\x00de"; err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func FuzzEntries(f *testing.F) {
	f.Add(encode(f, inOrder()))
	f.Add(encode(f, samples()[:1]))
	f.Add([]byte{255, 255, 255, 0})
	f.Fuzz(func(t *testing.T, listing []byte) {
		all, err := decodeAll(listing)
		if err != nil {
			return
		}
		again, err := decodeAll(encode(t, all))
		if err != nil || !reflect.DeepEqual(again, all) {
			t.Fatalf("%x decodes as %+v, which encodes and decodes as %+v, %v", listing, all, again, err)
		}
	})
}

func FuzzDecodeRefs(f *testing.F) {
	f.Add(AppendRefs(nil, []Ref{ref(1, 5), ref(2, 9)}), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, below uint8) {
		refs, err := DecodeRefs(data, below)
		if err == nil && !bytes.Equal(AppendRefs(nil, refs), data) {
			t.Fatal("not canonical")
		}
	})
}
