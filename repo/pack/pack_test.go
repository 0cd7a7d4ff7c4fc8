package pack

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/blake3"

	"holdfast/internal/blob"
	"holdfast/internal/seal"
)

var update = flag.Bool("update", false, "write the golden pack anew")

var session = [10]byte{0x2c, 0xa4, 0xd9, 0x06, 0x39, 0xf7, 0x06, 0x28, 0x3f, 0xee}

// random is a source of bytes that are the same in every run.
func random(name string) io.Reader {
	var seed [32]byte
	copy(seed[:], name)
	return rand.NewChaCha8(seed)
}

func newKeys(t testing.TB, name string) *seal.Keys {
	t.Helper()
	source := random(name)
	root, err := seal.NewRoot(source)
	if err != nil {
		t.Fatal(err)
	}
	return seal.NewKeys(root, source)
}

func id(n int) (id blob.ID) {
	_, _ = random(fmt.Sprint(n)).Read(id[:]) // never fails
	return id
}

type sample struct {
	Blob
	payload []byte
}

// samples are blobs of every kind there is.
func samples() []sample {
	bases := make([]blob.ID, MaxBases)
	for i := range bases {
		bases[i] = id(100 + i)
	}
	return []sample{
		{Blob{ID: id(1), Length: 5}, []byte("whole")},
		{Blob{ID: id(2), Length: 500, Encoding: Zstd}, []byte("not really zstd")},
		{Blob{ID: id(3), Length: MaxBlob, Encoding: Delta, Depth: 1, Bases: bases[:1]}, []byte("delta")},
		{Blob{ID: id(4), Length: 1, Encoding: Zstd | Delta, Depth: 255, Bases: bases}, []byte("both")},
		{Blob{ID: id(1), Length: 5}, []byte("whole")}, // one id twice
		{Blob{ID: id(5)}, nil},
	}
}

func build(t testing.TB, keys *seal.Keys, blobs []sample) *Pack {
	t.Helper()
	b, err := NewBuilder(keys, session)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range blobs {
		if err := b.Add(s.Blob, s.payload); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	p.Name = Name(p.Data)
	return p
}

// A pack that is taken in parts has the bytes of one that is not.
func TestAPackInParts(t *testing.T) {
	keys := newKeys(t, "a")
	for _, step := range []int{1, 3000, PartUnit, 3 * PartUnit, 100_000} {
		b, err := NewBuilder(keys, session)
		if err != nil {
			t.Fatal(err)
		}
		namer := NewNamer()
		var spare, whole []byte
		took := 0
		for i := range 40 {
			if err := b.Add(Blob{ID: id(i), Length: uint32(step)}, bytes.Repeat([]byte{byte(i)}, step)); err != nil {
				t.Fatal(err)
			}
			if held := b.Held(); held >= 2*PartUnit {
				part := b.Take(spare)
				if len(part)%PartUnit != 0 || b.Held() != held-len(part) || b.Held() >= PartUnit {
					t.Fatalf("steps of %d: %d of %d bytes were taken", step, len(part), held)
				}
				_, _ = namer.Write(part)
				whole, spare = append(whole, part...), part // others may write into it from now on
				took++
			}
		}
		want := b.Size()
		p, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = namer.Write(p.Data)
		whole = append(whole, p.Data...)
		p.Name = Name(whole)
		if took == 0 != (step == 1) || len(whole) != want || int(p.Size) != want || b.Size() != want || namer.Name() != p.Name {
			t.Errorf("steps of %d: %d parts, %d bytes, want %d; name %x", step, took, len(whole), want, namer.Name())
		}
		info, placed, err := read(keys, ObjectName(p.Name), whole)
		if err != nil || info != p.Info || !reflect.DeepEqual(placed, p.Blobs) {
			t.Fatalf("steps of %d: %+v, %v; want %+v", step, info, err, p.Info)
		}
		cipher, err := keys.OpenPack(whole)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range placed {
			got, err := Open(cipher, b, whole[b.Offset:][:b.Sealed], nil)
			if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, step)) {
				t.Errorf("steps of %d: blob %d: %v", step, i, err)
			}
		}
	}
}

func read(keys *seal.Keys, object string, data []byte) (Info, []Placed, error) {
	return ReadDirectory(keys, object, int64(len(data)), bytes.NewReader(data))
}

func TestAPackIsReadWithoutAnIndex(t *testing.T) {
	keys := newKeys(t, "a")
	many := make([]sample, 3000) // a directory larger than the first read
	for i := range many {
		many[i] = sample{Blob{ID: id(i), Length: 8}, fmt.Appendf(nil, "%08d", i)}
	}
	for _, blobs := range [][]sample{samples()[:1], samples(), many} {
		p := build(t, keys, blobs)
		if p.Size != uint32(len(p.Data)) || p.Session != session || p.Epoch != 1 || p.Name != blake3.Sum256(p.Data) {
			t.Fatalf("pack %+v", p.Info)
		}
		info, placed, err := read(keys, ObjectName(p.Name), p.Data)
		if err != nil || info != p.Info || !reflect.DeepEqual(placed, p.Blobs) {
			t.Fatalf("%d blobs: %+v, %v; want %+v", len(blobs), info, err, p.Info)
		}
		cipher, err := keys.OpenPack(p.Data)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range placed {
			want := blobs[i]
			if b.ID != want.ID || b.Length != want.Length || b.Encoding != want.Encoding || b.Depth != want.Depth || !slices.Equal(b.Bases, want.Bases) {
				t.Errorf("blob %d: %+v, want %+v", i, b, want)
			}
			got, err := Open(cipher, b, p.Data[b.Offset:][:b.Sealed], []byte("front"))
			if err != nil || string(got) != "front"+string(want.payload) {
				t.Errorf("blob %d: %q, %v", i, got, err)
			}
		}
	}
}

// The page docs/format.md, section 4, for the smallest pack there is.
func TestPackByThePage(t *testing.T) {
	keys := newKeys(t, "page")
	p := build(t, keys, []sample{{Blob{ID: id(1), Length: 0x010203, Encoding: Delta, Depth: 2, Bases: []blob.ID{id(2), id(3)}}, []byte("payload")}})
	cipher, err := keys.PackCipherFor(1, p.Salt)
	if err != nil {
		t.Fatal(err)
	}
	const directory = 16 + 43 + 2*32
	if len(p.Data) != 48+7+16+directory+16+8 || string(p.Data[len(p.Data)-8:]) != string([]byte{directory + 16, 0, 0, 0})+"HFPE" {
		t.Fatalf("%d bytes that end in %q", len(p.Data), p.Data[len(p.Data)-8:])
	}
	got, err := cipher.OpenDirectory(nil, p.Data[48+7+16:len(p.Data)-8])
	if err != nil {
		t.Fatal(err)
	}
	one, two, three := id(1), id(2), id(3)
	want := slices.Concat(session[:], []byte{0, 0, 1, 0, 0, 0}, one[:], []byte{3, 2, 1, 0, 23, 0, 0, 0, 2, 2, 2}, two[:], three[:])
	if !bytes.Equal(got, want) {
		t.Errorf("directory\n%x, want\n%x", got, want)
	}
}

func TestGoldenPack(t *testing.T) {
	const path = "testdata/golden.pack.hex"
	keys := newKeys(t, "golden")
	p := build(t, keys, samples())
	if *update {
		if err := os.WriteFile(path, []byte(hex.EncodeToString(p.Data)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	committed, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || !bytes.Equal(committed, p.Data) {
		t.Errorf("the code makes another pack than the committed one, %v", err)
	}
	if _, placed, err := read(keys, ObjectName(Name(committed)), committed); err != nil || !reflect.DeepEqual(placed, p.Blobs) {
		t.Errorf("the committed pack: %v", err)
	}
}

func TestCutOrFlippedAnywhereAPackIsRefused(t *testing.T) {
	keys := newKeys(t, "a")
	p := build(t, keys, samples())
	object := ObjectName(p.Name)
	// readAll reads the pack as somebody who has nothing but it.
	readAll := func(data []byte) error {
		_, placed, err := read(keys, object, data)
		if err != nil {
			if !strings.Contains(err.Error(), object) {
				t.Errorf("error %q does not name the pack", err)
			}
			return err
		}
		cipher, err := keys.OpenPack(data)
		for _, b := range placed {
			if err == nil {
				_, err = Open(cipher, b, data[b.Offset:][:b.Sealed], nil)
			}
		}
		return err
	}
	refused := func(what string, data []byte) {
		err := readAll(data)
		var epoch *seal.EpochError
		if !errors.Is(err, seal.ErrDamaged) && !errors.Is(err, seal.ErrVersion) && !errors.As(err, &epoch) {
			t.Errorf("%s: %v", what, err)
		}
		if err := VerifyName(object, data); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%s: its name is %v", what, err)
		}
	}
	if err := readAll(p.Data); err != nil || VerifyName(object, p.Data) != nil {
		t.Fatal(err)
	}
	for at := range p.Data {
		refused(fmt.Sprintf("cut at %d", at), p.Data[:at])
		for bit := range 8 {
			data := bytes.Clone(p.Data)
			data[at] ^= 1 << bit
			refused(fmt.Sprintf("flipped at %d", at), data)
		}
	}
	refused("and a byte", append(bytes.Clone(p.Data), 0))
	if _, _, err := ReadDirectory(keys, object, MaxSize+1, bytes.NewReader(p.Data)); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("too large: %v", err)
	}
	if err := readAll(build(t, newKeys(t, "b"), samples()).Data); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("another repository's: %v", err)
	}
}

func TestABlobOfAnotherPackDoesNotOpen(t *testing.T) {
	keys := newKeys(t, "a")
	p, q := build(t, keys, samples()), build(t, keys, samples())
	cipher, err := keys.PackCipherFor(p.Epoch, p.Salt)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range q.Blobs {
		if _, err := Open(cipher, b, q.Data[b.Offset:][:b.Sealed], nil); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("blob %d: %v", i, err)
		}
		if _, err := Open(cipher, p.Blobs[i], p.Data[b.Offset:], nil); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("blob %d with what follows it: %v", i, err)
		}
	}
}

func TestObjectNames(t *testing.T) {
	name := [32]byte{0x3f, 0x02, 31: 0xff}
	const object = "packs/3f/3f020000000000000000000000000000000000000000000000000000000000ff"
	if got := ObjectName(name); got != object {
		t.Errorf("%s, want %s", got, object)
	}
	if got, err := ParseObjectName(object); err != nil || got != name {
		t.Errorf("%x, %v", got, err)
	}
	for _, wrong := range []string{"", "packs", "packs/3f/", object[:len(object)-2], object + "00", "packs/3e" + object[8:],
		strings.ToUpper(object), "/" + object, strings.Replace(object, "/3f/", "/", 1), "x" + object[1:]} {
		if _, err := ParseObjectName(wrong); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", wrong, err)
		}
		if _, _, err := ReadDirectory(newKeys(t, "a"), wrong, 1000, bytes.NewReader(nil)); err == nil {
			t.Errorf("%q was read", wrong)
		}
		if VerifyName(wrong, nil) == nil {
			t.Errorf("%q was verified", wrong)
		}
	}
}

type unreachable struct{ error }

func (u unreachable) ReadAt([]byte, int64) (int, error) { return 0, u.error }

func TestAStorageErrorIsNotTakenForDamage(t *testing.T) {
	offline := errors.New("connection reset")
	_, _, err := ReadDirectory(newKeys(t, "a"), ObjectName([32]byte{}), 1000, unreachable{offline})
	if !errors.Is(err, offline) || errors.Is(err, seal.ErrDamaged) {
		t.Errorf("%v", err)
	}
}
