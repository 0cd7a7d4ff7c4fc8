package seal_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"holdfast/internal/seal"
)

// random is a source of bytes that are the same in every run.
func random(name string) io.Reader {
	var seed [32]byte
	copy(seed[:], name)
	return rand.NewChaCha8(seed)
}

func randomBytes(name string, n int) []byte {
	b := make([]byte, n)
	_, _ = random(name).Read(b) // never fails
	return b
}

// newRoot returns the root record of a repository of that name.
func newRoot(t testing.TB, name string, epochs int) *seal.Root {
	t.Helper()
	source := random(name)
	root, err := seal.NewRoot(source)
	for err == nil && len(root.Epochs) < epochs {
		err = root.AddEpoch(source)
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func newKeys(t testing.TB, name string, epochs int) *seal.Keys {
	t.Helper()
	return seal.NewKeys(newRoot(t, name, epochs), random("salts of "+name))
}

func mustSeal(t testing.TB, k *seal.Keys, kind seal.Type, name string, plaintext []byte) []byte {
	t.Helper()
	object, err := k.Seal(kind, name, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// wantError checks that err is want and names the object.
func wantError(t testing.TB, what string, err, want error, object string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	} else if !bytes.Contains([]byte(err.Error()), []byte(object)) {
		t.Errorf("%s: error %q does not name %s", what, err, object)
	}
}

// flipped returns data with one bit changed.
func flipped(data []byte, at int, bit uint) []byte {
	out := bytes.Clone(data)
	out[at] ^= 1 << bit
	return out
}
