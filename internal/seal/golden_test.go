package seal_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/seal"
)

var update = flag.Bool("update", false, "write the golden vectors anew")

// vector is one object with all it takes to open it, and how that ends. Its file
// says so in words and hex, for other implementations to read; it never changes
// while version 1 lasts.
type vector struct {
	name   string
	expect string // success, damaged, version, epoch, wrong key
	fields [][2]string
	object []byte
	open   func(object []byte) ([]byte, error)
	want   []byte
}

func (v vector) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "expect: %s\n", v.expect)
	for _, f := range v.fields {
		fmt.Fprintf(&b, "%s: %s\n", f[0], f[1])
	}
	fmt.Fprintf(&b, "object: %x\n", v.object)
	return b.String()
}

func class(err error) string {
	var epoch *seal.EpochError
	switch {
	case err == nil:
		return "success"
	case errors.Is(err, seal.ErrVersion):
		return "version"
	case errors.As(err, &epoch):
		return "epoch"
	case errors.Is(err, seal.ErrWrongKey):
		return "wrong key"
	case errors.Is(err, seal.ErrDamaged):
		return "damaged"
	}
	return err.Error()
}

func TestGoldenVectors(t *testing.T) {
	vectors := slices.Concat(objectVectors(t), slotVectors(t), packVectors(t))
	for _, v := range vectors {
		path := filepath.Join("testdata", "golden", v.name+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(v.text()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		committed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(committed) != v.text() {
			t.Errorf("%s: the code makes another object than the committed one", v.name)
		}
		got, err := v.open(bytes.Clone(v.object))
		if class(err) != v.expect || err == nil && !bytes.Equal(got, v.want) {
			t.Errorf("%s: %x, %v; want %s", v.name, got, err, v.expect)
		}
	}
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) != len(vectors) {
		t.Errorf("%d files of vectors for %d vectors, %v", len(files), len(vectors), err)
	}
}

func hexOf(b []byte) string { return fmt.Sprintf("%x", b) }

// short is hexOf, but for a long run of one byte.
func short(b []byte) string {
	if len(b) < 1000 {
		return hexOf(b)
	}
	return fmt.Sprintf("%d times %x", len(b), b[:1])
}

func objectVectors(t *testing.T) []vector {
	root := newRoot(t, "golden", 2)
	older := *root
	older.Epochs = root.Epochs[:1]
	var vectors []vector
	add := func(name, expect string, r *seal.Root, kind seal.Type, object string, plaintext []byte, change func([]byte)) {
		sealed := mustSeal(t, seal.NewKeys(root, random("golden "+name)), kind, object, plaintext)
		change(sealed)
		vectors = append(vectors, vector{
			name: "object-" + name, expect: expect, object: sealed, want: plaintext,
			fields: [][2]string{{"root", hexOf(marshal(t, r))}, {"type", fmt.Sprint(uint8(kind))}, {"name", object}, {"plaintext", short(plaintext)}},
			open:   func(o []byte) ([]byte, error) { return seal.NewKeys(r, random("")).Open(kind, object, o) },
		})
	}
	same := func([]byte) {}
	for kind, object := range map[seal.Type]string{
		seal.Config:    "config",
		seal.Session:   "sessions/2ca4d90639f706283fee",
		seal.Segment:   "index/" + slotID,
		seal.Snapshot:  "snapshots/2ca4d90639f706283fee",
		seal.Pin:       "pins/2ca4d90639f706283fee/00000001",
		seal.Trash:     "trash/2ca4d90639f706283fee/00000001",
		seal.Condemned: "condemned/00000001",
		seal.Lease:     "leases/0123456789abcdef0123/00000001",
		seal.Activity:  "activities/2ca4d90639f706283fee/00000001",
		seal.Damage:    "damaged/2ca4d90639f706283fee/00000001",
		seal.Setting:   "parity/settings/00000001",
	} {
		add(strings.ReplaceAll(kind.String(), " ", "-"), "success", root, kind, object, []byte("what a "+kind.String()+" holds"), same)
	}
	add("empty", "success", root, seal.Pin, "pins/x/00000001", nil, same)
	add("two-frames", "success", root, seal.Segment, "index/"+slotID, bytes.Repeat([]byte{0x5a}, frame+1), same)
	add("newer-version", "version", root, seal.Pin, "pins/x/00000001", nil, func(o []byte) { o[5] = 2 })
	add("newer-epoch", "epoch", &older, seal.Pin, "pins/x/00000001", nil, same)
	add("flipped", "damaged", root, seal.Pin, "pins/x/00000001", []byte("flipped"), func(o []byte) { o[48] ^= 1 })
	return vectors
}

func slotVectors(t *testing.T) []vector {
	root := newRoot(t, "golden", 2)
	token := newToken(t, "golden")
	password, machine := passwordSlot(t, root, "büro", "correct horse", cheap), tokenSlot(t, root, "ci", token)
	opened := func(r *seal.Root, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		return r.Marshal()
	}
	byPassword := func(name, expect, secret string, object []byte) vector {
		return vector{
			name: "slot-" + name, expect: expect, object: object, want: marshal(t, root),
			fields: [][2]string{{"slot", slotID}, {"password", secret}, {"root", hexOf(marshal(t, root))}},
			open:   func(o []byte) ([]byte, error) { return opened(seal.OpenPassword(slotID, o, []byte(secret))) },
		}
	}
	newer := bytes.Clone(machine)
	newer[5] = 2
	byToken := func(name, expect string, object []byte) vector {
		return vector{
			name: "slot-" + name, expect: expect, object: object, want: marshal(t, root),
			fields: [][2]string{{"slot", slotID}, {"token", token.String()}, {"root", hexOf(marshal(t, root))}},
			open:   func(o []byte) ([]byte, error) { return opened(seal.OpenToken(slotID, o, token)) },
		}
	}
	return []vector{
		byPassword("password", "success", "correct horse", password),
		byPassword("wrong-password", "wrong key", "incorrect horse", password),
		byPassword("cut-password", "damaged", "correct horse", password[:150]),
		byToken("token", "success", machine),
		byToken("newer-version", "version", newer),
	}
}

// packVectors are a header, blob 258 and a directory, one after the other.
func packVectors(t *testing.T) []vector {
	root := newRoot(t, "golden", 2)
	c := newPack(t, seal.NewKeys(root, random("golden pack")))
	header := c.Header()
	blob := c.SealBlob(nil, 258, []byte("a blob"))
	return []vector{{
		name: "pack", expect: "success", want: []byte("a blob, a directory"),
		object: c.SealDirectory(slices.Concat(header[:], blob), []byte("a directory")),
		fields: [][2]string{{"root", hexOf(marshal(t, root))}, {"blob 258", hexOf([]byte("a blob"))}, {"directory", hexOf([]byte("a directory"))}},
		open: func(o []byte) ([]byte, error) {
			c, err := seal.NewKeys(root, random("")).OpenPack(o)
			if err != nil {
				return nil, err
			}
			got, err := c.OpenBlob(nil, 258, o[seal.PackHeaderSize:][:len(blob)])
			if err != nil {
				return nil, err
			}
			return c.OpenDirectory(append(got, ", "...), o[seal.PackHeaderSize+len(blob):])
		},
	}}
}
