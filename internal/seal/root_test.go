package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"holdfast/internal/seal"
)

func marshal(t testing.TB, r *seal.Root) []byte {
	t.Helper()
	data, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRootRecordRoundTrip(t *testing.T) {
	for _, epochs := range []int{1, 2, 23, 24, 300} {
		root := newRoot(t, "a", epochs)
		got, err := seal.ParseRoot(marshal(t, root))
		if err != nil || !reflect.DeepEqual(got, root) {
			t.Errorf("%d epochs: %v", epochs, err)
		}
	}
}

// The smallest root record by the page: CBOR written by hand.
func TestRootRecordByThePage(t *testing.T) {
	root := newRoot(t, "page", 1)
	var want bytes.Buffer
	want.WriteString("\xa3\x01\x50")
	want.Write(root.Repository[:])
	want.WriteString("\x02\x58\x20")
	want.Write(root.IDKey[:])
	want.WriteString("\x03\x81\x82\x01\x58\x20")
	want.Write(root.Epochs[0].Key[:])
	if !bytes.Equal(marshal(t, root), want.Bytes()) {
		t.Errorf("%x, want %x", marshal(t, root), want.Bytes())
	}
}

func TestRootRecordHasOneForm(t *testing.T) {
	root := newRoot(t, "a", 2)
	data := marshal(t, root)
	replace := func(old, new string) []byte {
		if !bytes.Contains(data, []byte(old)) {
			t.Fatalf("no %x in the record", old)
		}
		return bytes.Replace(data, []byte(old), []byte(new), 1)
	}
	id, key := string(root.Repository[:]), string(root.IDKey[:])
	for what, form := range map[string][]byte{
		"a longer number":        replace("\x82\x01\x58", "\x82\x18\x01\x58"),
		"a longer length":        replace("\x01\x50"+id, "\x01\x58\x10"+id),
		"a short repository id":  replace("\x50"+id, "\x4f"+id[:15]),
		"a long repository id":   replace("\x50"+id, "\x51"+id+"x"),
		"a text for bytes":       replace("\x58\x20"+key, "\x78\x20"+strings.Repeat("a", 32)),
		"an epoch 0":             replace("\x82\x01\x58", "\x82\x00\x58"),
		"an epoch left out":      replace("\x82\x02\x58", "\x82\x03\x58"),
		"an epoch twice":         replace("\x82\x02\x58", "\x82\x01\x58"),
		"a negative epoch":       replace("\x82\x01\x58", "\x82\x20\x58"),
		"an unknown key":         append(replace("\xa3\x01", "\xa4\x01"), 0x04, 0x00),
		"a key twice":            append(replace("\xa3\x01", "\xa4\x01"), 0x01, 0x50),
		"keys in another order":  []byte("\xa3\x02\x58\x20" + key + "\x01\x50" + id + string(data[bytes.Index(data, []byte("\x03\x82")):])),
		"an indefinite map":      append(replace("\xa3\x01", "\xbf\x01"), 0xff),
		"something behind it":    append(bytes.Clone(data), 0),
		"no epochs":              []byte("\xa3\x01\x50" + id + "\x02\x58\x20" + key + "\x03\x80"),
		"epochs that are a map":  []byte("\xa3\x01\x50" + id + "\x02\x58\x20" + key + "\x03\xa0"),
		"an array of 2^32":       []byte("\xa3\x01\x50" + id + "\x02\x58\x20" + key + "\x03\x9a\xff\xff\xff\xff"),
		"an epoch of three":      replace("\x82\x02\x58", "\x83\x02\x58"),
		"nothing":                nil,
		"a tag":                  append([]byte{0xc0}, data...),
		"an array for the whole": []byte("\x83\x01\x02\x03"),
	} {
		if _, err := seal.ParseRoot(form); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for at := range data {
		if _, err := seal.ParseRoot(data[:at]); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("cut at %d: %v", at, err)
		}
	}
}

func TestEpochsAreCountedAndKept(t *testing.T) {
	root := newRoot(t, "a", 1)
	first := root.Epochs[0]
	before := *root
	if err := root.AddEpoch(random("more")); err != nil {
		t.Fatal(err)
	}
	if len(root.Epochs) != 2 || root.Epochs[0] != first || root.Epochs[1].Number != 2 || root.Epochs[1].Key == first.Key {
		t.Errorf("epochs %d", len(root.Epochs))
	}
	if len(before.Epochs) != 1 {
		t.Error("the record before has changed")
	}

	three := newRoot(t, "a", 3)
	one, other := *three, *three
	if err := errors.Join(one.AddEpoch(random("one")), other.AddEpoch(random("other"))); err != nil {
		t.Fatal(err)
	}
	if one.Epochs[3] == other.Epochs[3] {
		t.Error("two copies of a record share their epochs")
	}

	if err := root.AddEpoch(iotest.ErrReader(io.ErrClosedPipe)); err == nil || len(root.Epochs) != 2 {
		t.Errorf("without randomness: %d epochs, %v", len(root.Epochs), err)
	}
	full := &seal.Root{Epochs: make([]seal.Epoch, 1<<16)}
	if err := full.AddEpoch(random("more")); err == nil {
		t.Error("65,537 epochs")
	}
	if _, err := seal.NewRoot(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("without randomness: %v", err)
	}
}

func TestOldEpochsStayReadableAndTheNewestSeals(t *testing.T) {
	root := newRoot(t, "a", 1)
	old := mustSeal(t, seal.NewKeys(root, random("1")), seal.Pin, "x", []byte("old"))
	if err := root.AddEpoch(random("2")); err != nil {
		t.Fatal(err)
	}
	k := seal.NewKeys(root, random("2"))
	if got, err := k.Open(seal.Pin, "x", old); err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
	if object := mustSeal(t, k, seal.Pin, "x", nil); object[8] != 2 {
		t.Errorf("sealed under epoch %d", object[8])
	}
	if k.Newest() != 2 || k.Repository() != root.Repository || k.IDKey() != root.IDKey {
		t.Error("the keys tell another root record")
	}
}

func TestRootRecordDoesNotPrintItsKeys(t *testing.T) {
	root := newRoot(t, "a", 1)
	for _, format := range []string{"%v", "%s", "%+v"} {
		if got := fmt.Sprintf(format, root); got != "root record of repository "+root.Repository.String() {
			t.Errorf("%s prints %q", format, got)
		}
	}
}

func FuzzParseRoot(f *testing.F) {
	f.Add(marshal(f, newRoot(f, "a", 1)))
	f.Add(marshal(f, newRoot(f, "a", 25)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if root, err := seal.ParseRoot(data); err == nil && !bytes.Equal(marshal(t, root), data) {
			t.Error("two forms of one record")
		}
	})
}
