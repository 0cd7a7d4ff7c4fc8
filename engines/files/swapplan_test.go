package files

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"holdfast/internal/tree"
)

func somePlan() *swapPlan {
	a := attributes{Mode: 0o755, UID: 33, GID: 33, MTime: tree.Time{Sec: -5, Nsec: 7}, Xattrs: []tree.Xattr{{Name: "user.x", Value: []byte{0, 1}}}}
	return &swapPlan{Directories: []stayer{
		{Old: a, New: attributes{Mode: 0o711}, Moves: []move{{Name: "a\xff", Old: 1, New: 2}, {Name: "b", New: 1 << 63, NewMode: 0o040555}}},
		{Path: []string{"a", "b"}, Made: true, Old: a, New: a},
	}}
}

func TestSwapPlansComeBack(t *testing.T) {
	for _, p := range []*swapPlan{{}, somePlan()} {
		data, err := p.encode()
		check(t, err)
		got, err := decodeSwapPlan(data)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%+v, %v; want %+v", got, err, p)
		}
	}
}

func TestDamagedSwapPlansAreErrors(t *testing.T) {
	data, err := somePlan().encode()
	check(t, err)
	for n := range data {
		if _, err := decodeSwapPlan(data[:n]); !errors.Is(err, tree.ErrInvalid) {
			t.Errorf("cut at byte %d: %v", n, err)
		}
	}
	for n := range data {
		flipped := bytes.Clone(data)
		flipped[n] ^= 0x80
		if p, err := decodeSwapPlan(flipped); err == nil && reflect.DeepEqual(p, somePlan()) {
			t.Errorf("flipping a bit of byte %d makes no difference", n)
		}
	}
	if _, err := decodeSwapPlan(append(bytes.Clone(data), 0)); !errors.Is(err, tree.ErrInvalid) {
		t.Errorf("with a byte too many: %v", err)
	}
	for what, change := range map[string]func(*swapPlan){
		"a name with a slash":      func(p *swapPlan) { p.Directories[0].Moves[0].Name = "../x" },
		"a path that leads up":     func(p *swapPlan) { p.Directories[1].Path[0] = ".." },
		"a made mount":             func(p *swapPlan) { p.Directories[1].Path = nil },
		"a name that stays itself": func(p *swapPlan) { p.Directories[0].Moves[0].New = 1 },
	} {
		p := somePlan()
		change(p)
		data, err := p.encode()
		check(t, err)
		if _, err := decodeSwapPlan(data); !errors.Is(err, tree.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzSwapPlan(f *testing.F) {
	data, err := somePlan().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(swapPlanMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodeSwapPlan(data)
		if err != nil {
			if !errors.Is(err, tree.ErrInvalid) {
				t.Errorf("not an error of damage: %v", err)
			}
			return
		}
		again, err := p.encode()
		check(t, err)
		if q, err := decodeSwapPlan(again); err != nil || !reflect.DeepEqual(p, q) {
			t.Errorf("decoded, encoded and decoded: %+v, %v; before %+v", q, err, p)
		}
	})
}
