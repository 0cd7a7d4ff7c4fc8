package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"holdfast/internal/seal"
)

const frame = 65536

// Sizes around which the last frame changes its form.
var edges = []int{0, 1, 2, 15, 16, 17, frame - 1, frame, frame + 1, 2*frame - 1, 2 * frame, 2*frame + 1, 3*frame + 7}

func TestObjectsOpenToWhatWasSealed(t *testing.T) {
	k := newKeys(t, "a", 2)
	for _, kind := range []seal.Type{seal.Config, seal.Session, seal.Segment, seal.Snapshot, seal.Pin, seal.Trash,
		seal.Condemned, seal.Lease, seal.Activity, seal.Damage, seal.Setting} {
		for _, size := range edges {
			plaintext := randomBytes("plaintext", size)
			object := mustSeal(t, k, kind, "some/name", plaintext)
			header := 48
			if kind == seal.Config {
				header = 64
			}
			if want := header + size + 16*max(1, (size+frame-1)/frame); len(object) != want {
				t.Errorf("%s of %d bytes: object has %d bytes, want %d", kind, size, len(object), want)
			}
			got, err := k.Open(kind, "some/name", object)
			if err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("%s of %d bytes: opens to %d bytes, %v", kind, size, len(got), err)
			}
		}
	}
}

// The page docs/format.md, section 2, read by somebody who has nothing else.
func TestObjectByThePage(t *testing.T) {
	root := newRoot(t, "page", 2)
	k := seal.NewKeys(root, random("salts"))
	for _, c := range []struct {
		kind seal.Type
		name string
		size int
	}{{seal.Config, "config", 40}, {seal.Snapshot, "snapshots/2ca4d90639f706283fee", 2*frame + 9}, {seal.Pin, "pins/x/00000001", 0}} {
		plaintext := randomBytes("page", c.size)
		object := mustSeal(t, k, c.kind, c.name, plaintext)
		header := object[:48]
		if c.kind == seal.Config {
			header = object[:64]
		}
		if string(header[:4]) != "HFOB" || header[4] != byte(c.kind) || header[5] != 1 || binary.LittleEndian.Uint32(header[8:]) != 2 {
			t.Fatalf("%s: header % x", c.name, header)
		}
		info := "holdfast object" + string([]byte{byte(c.kind), 1}) + string(root.Repository[:]) + c.name
		key, err := hkdf.Key(sha256.New, root.Epochs[1].Key[:], header[16:48], info, 32)
		if err != nil {
			t.Fatal(err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		rest := object[len(header):]
		for i := 0; len(rest) > 0; i++ {
			n := min(frame+16, len(rest))
			nonce := make([]byte, 12)
			binary.BigEndian.PutUint32(nonce[7:], uint32(i))
			if n == len(rest) {
				nonce[11] = 1
			}
			if got, err = gcm.Open(got, nonce, rest[:n], header); err != nil {
				t.Fatalf("%s: frame %d: %v", c.name, i, err)
			}
			rest = rest[n:]
		}
		if !bytes.Equal(got, plaintext) {
			t.Errorf("%s: %d bytes of %d", c.name, len(got), c.size)
		}
	}
}

func TestNoObjectStandsInForAnother(t *testing.T) {
	k := newKeys(t, "a", 3)
	plaintext := randomBytes("three frames", 2*frame+100)
	object := mustSeal(t, k, seal.Snapshot, "snapshots/a", plaintext)
	first, second, last := object[48:][:frame+16], object[48+frame+16:][:frame+16], object[48+2*(frame+16):]
	header := object[:48]
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	older := bytes.Clone(object)
	older[8] = 2

	for what, open := range map[string]func() ([]byte, error){
		"a longer name":      func() ([]byte, error) { return k.Open(seal.Snapshot, "snapshots/ab", object) },
		"another type":       func() ([]byte, error) { return k.Open(seal.Session, "snapshots/a", object) },
		"another repository": func() ([]byte, error) { return newKeys(t, "b", 3).Open(seal.Snapshot, "snapshots/a", object) },
		"another epoch":      func() ([]byte, error) { return k.Open(seal.Snapshot, "snapshots/a", older) },
		"a type of its own header": func() ([]byte, error) {
			other := bytes.Clone(object)
			other[4] = byte(seal.Session)
			return k.Open(seal.Session, "snapshots/a", other)
		},
		"frames exchanged": func() ([]byte, error) {
			return k.Open(seal.Snapshot, "snapshots/a", join(header, second, first, last))
		},
		"a frame twice": func() ([]byte, error) {
			return k.Open(seal.Snapshot, "snapshots/a", join(header, first, second, second, last))
		},
		"a frame left out": func() ([]byte, error) { return k.Open(seal.Snapshot, "snapshots/a", join(header, first, last)) },
		"cut after a frame": func() ([]byte, error) {
			return k.Open(seal.Snapshot, "snapshots/a", join(header, first, second))
		},
		"cut after the header": func() ([]byte, error) { return k.Open(seal.Snapshot, "snapshots/a", header) },
		"an empty frame more": func() ([]byte, error) {
			return k.Open(seal.Snapshot, "snapshots/a", join(object, make([]byte, 16)))
		},
		"nothing":           func() ([]byte, error) { return k.Open(seal.Snapshot, "snapshots/a", nil) },
		"no type there is":  func() ([]byte, error) { return k.Open(0, "snapshots/a", object) },
		"another's frames":  func() ([]byte, error) { return k.Open(seal.Snapshot, "snapshots/a", transplant(t, k, object)) },
		"a config's header": func() ([]byte, error) { return k.Open(seal.Config, "snapshots/a", object) },
	} {
		_, err := open()
		wantError(t, what, err, seal.ErrDamaged, "snapshots/a")
	}
	_, err := k.Open(seal.Snapshot, "snapshots/b", object)
	wantError(t, "another name", err, seal.ErrDamaged, "snapshots/b")
}

// transplant puts the frames of another object of the same size behind object's header.
func transplant(t *testing.T, k *seal.Keys, object []byte) []byte {
	other := mustSeal(t, k, seal.Snapshot, "snapshots/a", randomBytes("other", 2*frame+100))
	return append(bytes.Clone(object[:48]), other[48:]...)
}

// Two forms of one plaintext: 65,536 bytes in a last frame, or before an empty one.
func TestOnlyAnEmptyObjectEndsInAnEmptyFrame(t *testing.T) {
	root := newRoot(t, "a", 1)
	k := seal.NewKeys(root, random("s"))
	header := mustSeal(t, k, seal.Pin, "x", nil)[:48]
	info := "holdfast object" + string([]byte{byte(seal.Pin), 1}) + string(root.Repository[:]) + "x"
	key, err := hkdf.Key(sha256.New, root.Epochs[0].Key[:], header[16:], info, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	object := gcm.Seal(bytes.Clone(header), make([]byte, 12), make([]byte, frame), header)
	object = gcm.Seal(object, []byte{10: 1, 11: 1}, nil, header)
	_, err = k.Open(seal.Pin, "x", object)
	wantError(t, "an empty last frame", err, seal.ErrDamaged, "x")
}

func TestAnObjectOfAnotherTypeIsSaidToBe(t *testing.T) {
	k := newKeys(t, "a", 1)
	_, err := k.Open(seal.Lease, "x", mustSeal(t, k, seal.Condemned, "x", nil))
	wantError(t, "another type", err, seal.ErrDamaged, "it is a condemned list, not a lease")
}

func TestCutOrFlippedAnywhereAnObjectIsRefused(t *testing.T) {
	k := newKeys(t, "a", 1)
	for _, kind := range []seal.Type{seal.Config, seal.Lease} {
		object := mustSeal(t, k, kind, "n", randomBytes("small", 37))
		for at := range object {
			if _, err := k.Open(kind, "n", object[:at]); !errors.Is(err, seal.ErrDamaged) {
				t.Errorf("%s cut at %d: %v", kind, at, err)
			}
			for bit := range uint(8) {
				_, err := k.Open(kind, "n", flipped(object, at, bit))
				var epoch *seal.EpochError
				switch {
				case at == 5 && bit > 0: // version 1 becomes 3, 5, 9 …
					wantError(t, "flipped version", err, seal.ErrVersion, "n")
				case at >= 8 && at < 12 && !errors.Is(err, seal.ErrDamaged):
					if !errors.As(err, &epoch) || epoch.Object != "n" {
						t.Errorf("%s, epoch flipped at %d: %v", kind, at, err)
					}
				default:
					wantError(t, fmt.Sprintf("%s flipped at %d", kind, at), err, seal.ErrDamaged, "n")
				}
			}
		}
	}
	large := mustSeal(t, k, seal.Segment, "n", randomBytes("large", 2*frame))
	for _, at := range []int{48 + frame, 48 + frame + 15, 48 + frame + 16, 48 + 2*frame + 16, len(large) - 1} {
		_, err := k.Open(seal.Segment, "n", large[:at])
		wantError(t, fmt.Sprintf("cut at %d", at), err, seal.ErrDamaged, "n")
		_, err = k.Open(seal.Segment, "n", flipped(large, at, 3))
		wantError(t, fmt.Sprintf("flipped at %d", at), err, seal.ErrDamaged, "n")
	}
}

func TestWhatANewerProgramOrAKeyRotationWroteIsSaidSo(t *testing.T) {
	k, newer := newKeys(t, "a", 1), newKeys(t, "a", 2)
	object := mustSeal(t, newer, seal.Activity, "activities/x/00000001", []byte("later"))
	_, err := k.Open(seal.Activity, "activities/x/00000001", object)
	var epoch *seal.EpochError
	if !errors.As(err, &epoch) || epoch.Epoch != 2 || epoch.Newest != 1 || errors.Is(err, seal.ErrDamaged) {
		t.Errorf("newer epoch: %v", err)
	}

	object = mustSeal(t, k, seal.Activity, "activities/x/00000001", nil)
	object[5] = 7
	_, err = k.Open(seal.Activity, "activities/x/00000001", object)
	var version *seal.VersionError
	if !errors.As(err, &version) || *version != (seal.VersionError{Object: "activities/x/00000001", Found: 7, Known: 1}) {
		t.Errorf("newer version: %v", err)
	}
	if !errors.Is(err, seal.ErrVersion) || errors.Is(err, seal.ErrDamaged) {
		t.Errorf("newer version: %v is not ErrVersion alone", err)
	}
}

func TestConfigTellsItsRepositoryWithoutAKey(t *testing.T) {
	root := newRoot(t, "a", 1)
	object := mustSeal(t, seal.NewKeys(root, random("s")), seal.Config, "config", []byte("parameters"))
	id, err := seal.ConfigHeader(object)
	if err != nil || id != root.Repository || len(id.String()) != 32 {
		t.Fatalf("repository %s, %v; want %s", id, err, root.Repository)
	}
	for at := range 64 {
		_, err := seal.ConfigHeader(object[:at])
		wantError(t, fmt.Sprintf("cut at %d", at), err, seal.ErrDamaged, "config")
	}
	newer := bytes.Clone(object)
	newer[5] = 2
	_, err = seal.ConfigHeader(newer)
	wantError(t, "newer version", err, seal.ErrVersion, "config")
	_, err = seal.ConfigHeader(mustSeal(t, newKeys(t, "a", 1), seal.Session, "x", make([]byte, 100)))
	wantError(t, "another type", err, seal.ErrDamaged, "config")

	_, err = newKeys(t, "b", 1).Open(seal.Config, "config", object)
	if wantError(t, "another key", err, seal.ErrDamaged, "config"); !strings.Contains(err.Error(), root.Repository.String()) {
		t.Errorf("%q does not name the repository", err)
	}
}

func TestEverySealHasAFreshSalt(t *testing.T) {
	k := newKeys(t, "a", 1)
	seen := map[string]bool{}
	for range 100 {
		seen[string(mustSeal(t, k, seal.Pin, "same", []byte("same"))[16:48])] = true
		c, err := k.NewPack()
		if err != nil {
			t.Fatal(err)
		}
		salt := c.Salt()
		seen[string(salt[:])] = true
	}
	if len(seen) != 200 {
		t.Errorf("%d salts for 200 objects and packs", len(seen))
	}
}

func TestSealNeedsRandomnessAndAType(t *testing.T) {
	broken := errors.New("no entropy")
	k := seal.NewKeys(newRoot(t, "a", 1), iotest.ErrReader(broken))
	if _, err := k.Seal(seal.Pin, "pins/x", nil); !errors.Is(err, broken) {
		t.Errorf("seal: %v", err)
	}
	if _, err := k.NewPack(); !errors.Is(err, broken) {
		t.Errorf("pack: %v", err)
	}
	if _, err := newKeys(t, "a", 1).Seal(seal.Setting+1, "x", nil); err == nil {
		t.Error("an object of no type was sealed")
	}
}

func TestSealDoesNotTouchItsInput(t *testing.T) {
	k := newKeys(t, "a", 1)
	plaintext := randomBytes("p", frame+5)
	object := mustSeal(t, k, seal.Pin, "x", plaintext)
	sealed := bytes.Clone(object)
	if _, err := k.Open(seal.Pin, "x", object); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(plaintext, randomBytes("p", frame+5)) || !bytes.Equal(object, sealed) {
		t.Error("input changed")
	}
}

func FuzzOpen(f *testing.F) {
	k := newKeys(f, "fuzz", 2)
	for _, size := range []int{0, 1, 100} {
		f.Add(uint8(seal.Config), mustSeal(f, k, seal.Config, "n", make([]byte, size)))
		f.Add(uint8(seal.Trash), mustSeal(f, k, seal.Trash, "n", make([]byte, size)))
	}
	f.Fuzz(func(t *testing.T, kind uint8, object []byte) {
		_, wholeErr := k.Open(seal.Type(kind), "n", object)
		r, err := k.OpenReader(seal.Type(kind), "n", int64(len(object)), bytes.NewReader(object))
		if err == nil {
			if _, err = r.ReadAt(make([]byte, r.Size()), 0); err == io.EOF && r.Size() == 0 {
				err = nil
			}
		}
		if (wholeErr == nil) != (err == nil) {
			t.Errorf("whole: %v, in frames: %v", wholeErr, err)
		}
		_, _ = seal.ConfigHeader(object)
	})
}
