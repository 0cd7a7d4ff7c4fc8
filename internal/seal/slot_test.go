package seal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"holdfast/internal/seal"
)

const slotID = "00112233445566778899aabbccddeeff"

var (
	cheap   = seal.Cost{Memory: 64, Passes: 1, Lanes: 1}
	created = time.Date(2026, 3, 1, 12, 30, 45, 999, time.FixedZone("", 3600))
)

func passwordSlot(t testing.TB, root *seal.Root, label, password string, cost seal.Cost) []byte {
	t.Helper()
	object, err := seal.SealPassword(root, slotID, label, []byte(password), cost, created, random("slot"))
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func newToken(t testing.TB, name string) seal.Token {
	t.Helper()
	token, err := seal.NewToken(random(name))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func tokenSlot(t testing.TB, root *seal.Root, label string, token seal.Token) []byte {
	t.Helper()
	object, err := seal.SealToken(root, slotID, label, token, created, random("slot"))
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func TestKeySlotsOpenToTheRootRecord(t *testing.T) {
	token := newToken(t, "t")
	for _, epochs := range []int{1, 30} {
		root := newRoot(t, "a", epochs)
		for _, label := range []string{"", "büro", strings.Repeat("é", 127)} {
			object := passwordSlot(t, root, label, "correct horse", cheap)
			got, err := seal.OpenPassword(slotID, object, []byte("correct horse"))
			if err != nil || !reflect.DeepEqual(got, root) {
				t.Errorf("password: %v", err)
			}
			info, err := seal.ParseSlot(object)
			want := seal.SlotInfo{Kind: seal.PasswordSlot, Label: label, Created: created.UTC().Truncate(time.Second), Repository: root.Repository, Epochs: uint32(len(root.Epochs))}
			if err != nil || info != want {
				t.Errorf("password: %+v, %v; want %+v", info, err, want)
			}

			object = tokenSlot(t, root, label, token)
			if got, err = seal.OpenToken(slotID, object, token); err != nil || !reflect.DeepEqual(got, root) {
				t.Errorf("token: %v", err)
			}
			want.Kind = seal.TokenSlot
			if info, err = seal.ParseSlot(object); err != nil || info != want {
				t.Errorf("token: %+v, %v; want %+v", info, err, want)
			}
		}
	}
}

func TestTheDefaultCostWorks(t *testing.T) {
	root := newRoot(t, "a", 1)
	object := passwordSlot(t, root, "", "p", seal.DefaultCost)
	if got, err := seal.OpenPassword(slotID, object, []byte("p")); err != nil || !reflect.DeepEqual(got, root) {
		t.Error(err)
	}
	if m, p, l := binary.LittleEndian.Uint32(object[56:]), binary.LittleEndian.Uint32(object[60:]), object[64]; m != 65536 || p != 3 || l != 4 {
		t.Errorf("Argon2id with %d KiB, %d passes, %d lanes", m, p, l)
	}
}

func TestAWrongSecretIsSaidSo(t *testing.T) {
	root := newRoot(t, "a", 1)
	token := newToken(t, "t")
	password, machine := passwordSlot(t, root, "", "right", cheap), tokenSlot(t, root, "", token)
	const another = "ffffffffffffffffffffffffffffffff"
	for what, open := range map[string]func() (*seal.Root, error){
		"wrong password":            func() (*seal.Root, error) { return seal.OpenPassword(slotID, password, []byte("secret-guess")) },
		"empty password":            func() (*seal.Root, error) { return seal.OpenPassword(slotID, password, nil) },
		"wrong token":               func() (*seal.Root, error) { return seal.OpenToken(slotID, machine, newToken(t, "u")) },
		"password for a token":      func() (*seal.Root, error) { return seal.OpenPassword(slotID, machine, []byte("secret-guess")) },
		"token for a password":      func() (*seal.Root, error) { return seal.OpenToken(slotID, password, token) },
		"password slot's new name":  func() (*seal.Root, error) { return seal.OpenPassword(another, password, []byte("right")) },
		"token slot under new name": func() (*seal.Root, error) { return seal.OpenToken(another, machine, token) },
	} {
		_, err := open()
		if wantError(t, what, err, seal.ErrWrongKey, "key slot "); strings.Contains(err.Error(), "secret-guess") {
			t.Errorf("%q repeats the password", err)
		}
	}
}

func TestCutOrFlippedAnywhereAKeySlotIsRefused(t *testing.T) {
	root := newRoot(t, "a", 1)
	token := newToken(t, "t")
	for _, c := range []struct {
		kind   string
		object []byte
		open   func([]byte) error
	}{
		{"password", passwordSlot(t, root, "label", "p", cheap), func(o []byte) error {
			_, err := seal.OpenPassword(slotID, o, []byte("p"))
			return err
		}},
		{"token", tokenSlot(t, root, "label", token), func(o []byte) error {
			_, err := seal.OpenToken(slotID, o, token)
			return err
		}},
	} {
		refused := func(what string, object []byte) {
			err := c.open(object)
			if !errors.Is(err, seal.ErrDamaged) && !errors.Is(err, seal.ErrWrongKey) && !errors.Is(err, seal.ErrVersion) {
				t.Errorf("%s slot %s: %v", c.kind, what, err)
			}
		}
		for at := range c.object {
			refused(fmt.Sprintf("cut at %d", at), c.object[:at])
			refused(fmt.Sprintf("flipped at %d", at), flipped(c.object, at, 0))
			refused(fmt.Sprintf("flipped at %d", at), flipped(c.object, at, 7))
		}
		refused("and a byte", append(bytes.Clone(c.object), 0))
	}
}

// What a forged slot asks for is refused before any of it is spent.
func TestAbsurdArgon2Parameters(t *testing.T) {
	object := passwordSlot(t, newRoot(t, "a", 1), "", "p", seal.Cost{Memory: 8, Passes: 1, Lanes: 1})
	for what, set := range map[string]func([]byte){
		"memory of 4 TiB":         func(o []byte) { binary.LittleEndian.PutUint32(o[56:], 1<<32-1) },
		"memory over the bound":   func(o []byte) { binary.LittleEndian.PutUint32(o[56:], 1<<20+1) },
		"memory 0":                func(o []byte) { binary.LittleEndian.PutUint32(o[56:], 0) },
		"less memory than lanes":  func(o []byte) { o[64] = 2 },
		"passes 0":                func(o []byte) { binary.LittleEndian.PutUint32(o[60:], 0) },
		"passes over the bound":   func(o []byte) { binary.LittleEndian.PutUint32(o[60:], 65) },
		"four thousand million":   func(o []byte) { binary.LittleEndian.PutUint32(o[60:], 1<<32-1) },
		"lanes 0":                 func(o []byte) { o[64] = 0 },
		"lanes over the bound":    func(o []byte) { o[57], o[64] = 255, 65 },
		"created in year 10000":   func(o []byte) { binary.LittleEndian.PutUint64(o[72:], 253402300800) },
		"created before 1970":     func(o []byte) { binary.LittleEndian.PutUint64(o[72:], 1<<63) },
		"a label behind its end":  func(o []byte) { binary.LittleEndian.PutUint16(o[80:], 255) },
		"a label over the bound":  func(o []byte) { binary.LittleEndian.PutUint16(o[80:], 256) },
		"a label not UTF-8":       func(o []byte) { o[80], o[82] = 1, 0xff },
		"a label with an escape":  func(o []byte) { o[80], o[82] = 1, 0x1b },
		"a slot of a third kind":  func(o []byte) { o[4] = 3 },
		"a token's that costs":    func(o []byte) { o[4] = 2 },
		"something behind lanes":  func(o []byte) { o[71] = 1 },
		"something behind magic":  func(o []byte) { o[6] = 1 },
		"another magic":           func(o []byte) { o[0] = 'X' },
		"a version before the 1.": func(o []byte) { o[5] = 0 },
	} {
		forged := append(bytes.Clone(object), make([]byte, 300)...)
		forged = forged[:len(object)]
		set(forged)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := seal.OpenPassword(slotID, forged, []byte("p"))
		runtime.ReadMemStats(&after)
		wantError(t, what, err, seal.ErrDamaged, "key slot "+slotID)
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 64<<10 {
			t.Errorf("%s: %d bytes allocated", what, spent)
		}
		if _, err := seal.ParseSlot(forged); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%s: parsed: %v", what, err)
		}
	}
}

func TestAKeySlotThatCannotBeReadIsNotWritten(t *testing.T) {
	root := newRoot(t, "a", 1)
	for what, write := range map[string]func() ([]byte, error){
		"no password": func() ([]byte, error) {
			return seal.SealPassword(root, slotID, "", nil, cheap, created, random("s"))
		},
		"no cost": func() ([]byte, error) {
			return seal.SealPassword(root, slotID, "", []byte("p"), seal.Cost{}, created, random("s"))
		},
		"too much of it": func() ([]byte, error) {
			return seal.SealPassword(root, slotID, "", []byte("p"), seal.Cost{Memory: 1 << 21, Passes: 1, Lanes: 1}, created, random("s"))
		},
		"an object's name for a slot's": func() ([]byte, error) {
			return seal.SealPassword(root, "keys/"+slotID, "", []byte("p"), cheap, created, random("s"))
		},
		"upper-case": func() ([]byte, error) {
			return seal.SealToken(root, strings.ToUpper(slotID), "", seal.Token{}, created, random("s"))
		},
		"a long label": func() ([]byte, error) {
			return seal.SealToken(root, slotID, strings.Repeat("x", 256), seal.Token{}, created, random("s"))
		},
		"a label of two lines": func() ([]byte, error) {
			return seal.SealToken(root, slotID, "a\nb", seal.Token{}, created, random("s"))
		},
		"no time": func() ([]byte, error) {
			return seal.SealToken(root, slotID, "", seal.Token{}, time.Time{}, random("s"))
		},
		"no keys": func() ([]byte, error) {
			return seal.SealToken(&seal.Root{}, slotID, "", seal.Token{}, created, random("s"))
		},
	} {
		if object, err := write(); err == nil {
			t.Errorf("%s: written, %d bytes", what, len(object))
		}
	}
}

func TestTokens(t *testing.T) {
	token := newToken(t, "t")
	text := token.String()
	if len(text) != 48 || !strings.HasPrefix(text, "hft1_") {
		t.Errorf("token %q", text)
	}
	if got, err := seal.ParseToken(text); err != nil || got != token {
		t.Errorf("parse: %v", err)
	}
	last := text[:47]
	for _, wrong := range []string{"", "hft1_", text[:47], text + "A", text + "=", text + "\n", "hft2_" + text[5:], "HFT1_" + text[5:],
		text[:20] + "\n" + text[21:], text[:20] + "+" + text[21:], text[5:], " " + text[:47], last + "B"} {
		_, err := seal.ParseToken(wrong)
		if err == nil && wrong != text {
			t.Errorf("%q is taken for a token", wrong)
		}
		if err != nil && !errors.Is(err, seal.ErrNotToken) {
			t.Errorf("%q: %v does not wrap ErrNotToken", wrong, err)
		}
		if err != nil && len(wrong) > 20 && strings.Contains(err.Error(), wrong[10:18]) {
			t.Errorf("%q repeats the token", err)
		}
	}
}

func FuzzParseSlot(f *testing.F) {
	root := newRoot(f, "a", 1)
	f.Add(passwordSlot(f, root, "", "p", cheap))
	f.Add(passwordSlot(f, root, "label", "p", cheap))
	f.Add(tokenSlot(f, root, "label", newToken(f, "t")))
	f.Fuzz(func(t *testing.T, object []byte) {
		info, err := seal.ParseSlot(object)
		if err != nil {
			return
		}
		if _, err := info.Created.MarshalText(); err != nil {
			t.Errorf("created %v: %v", info.Created, err)
		}
		if _, err := seal.OpenToken(slotID, object, seal.Token{}); err == nil {
			t.Error("a forged slot opens")
		}
	})
}

func FuzzParseToken(f *testing.F) {
	f.Add(newToken(f, "t").String())
	f.Add("hft1_")
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := seal.ParseToken(text); err == nil && token.String() != text {
			t.Errorf("two forms of one token: %q", text)
		}
	})
}
