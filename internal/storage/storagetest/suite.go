package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/storage"
)

// Run tests that a storage keeps the contract. open returns an empty one, which
// it closes with t.Cleanup where that is needed.
func Run(t *testing.T, open func(t *testing.T) storage.Storage) {
	for name, test := range map[string]func(*testing.T, storage.Storage){
		"ReadAt":             testReadAt,
		"Stat":               testStat,
		"PutOwnsNothing":     testPutOwnsNothing,
		"PutNeverReplaces":   testPutNeverReplaces,
		"Draft":              testDraft,
		"DraftNeverReplaces": testDraftNeverReplaces,
		"Missing":            testMissing,
		"Delete":             testDelete,
		"ListOrder":          testListOrder,
		"ListPrefix":         testListPrefix,
		"ListStops":          testListStops,
		"ListWhileChanging":  testListWhileChanging,
		"Names":              testNames,
		"Cancelled":          testCancelled,
		"RaceForOneName":     testRaceForOneName,
		"SameContentsRace":   testSameContentsRace,
		"ManyAtOnce":         testManyAtOnce,
		"DeleteWhilePut":     testDeleteWhilePut,
		"ReadAll":            testReadAll,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func mustPut(t *testing.T, s storage.Storage, name, data string) {
	t.Helper()
	if err := s.Put(t.Context(), name, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, s storage.Storage, name string) string {
	t.Helper()
	data, err := storage.ReadAll(t.Context(), s, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func list(t *testing.T, s storage.Storage, prefix string) []string {
	t.Helper()
	var names []string
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	return names
}

// wantError checks the sentinel, and that the message names the object.
func wantError(t *testing.T, err, sentinel error, name string) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Errorf("%s: error is %v, want %v", name, err, sentinel)
	} else if !strings.Contains(err.Error(), name) {
		t.Errorf("error %q does not name the object %s", err, name)
	}
}

func testReadAt(t *testing.T, s storage.Storage) {
	mustPut(t, s, "packs/3f/3f02", "0123456789")
	mustPut(t, s, "empty", "")
	for _, c := range []struct {
		name   string
		off    int64
		length int
		want   string
		err    error
	}{
		{"packs/3f/3f02", 0, 10, "0123456789", nil},
		{"packs/3f/3f02", 3, 4, "3456", nil},
		{"packs/3f/3f02", 0, 0, "", nil},
		{"packs/3f/3f02", 8, 5, "89", io.EOF},
		{"packs/3f/3f02", 10, 1, "", io.EOF},
		{"packs/3f/3f02", 1 << 40, 1, "", io.EOF},
		{"empty", 0, 1, "", io.EOF},
		{"empty", 0, 0, "", nil},
	} {
		p := make([]byte, c.length)
		n, err := s.ReadAt(t.Context(), c.name, p, c.off)
		// The end of an object may be reported with its last bytes, or by the next read.
		atEnd := err == io.EOF && c.err == nil && n == c.length
		if string(p[:n]) != c.want || err != c.err && !atEnd {
			t.Errorf("%s at %d, %d bytes: %q, %v; want %q, %v", c.name, c.off, c.length, p[:n], err, c.want, c.err)
		}
	}
	if n, err := s.ReadAt(t.Context(), "packs/3f/3f02", make([]byte, 1), -1); n != 0 || err == nil || err == io.EOF {
		t.Errorf("at -1: %d bytes, %v; want an error", n, err)
	}
}

func testStat(t *testing.T, s storage.Storage) {
	mustPut(t, s, "snapshots/0123", "four")
	info, err := s.Stat(t.Context(), "snapshots/0123")
	if want := (storage.Info{Name: "snapshots/0123", Size: 4}); err != nil || info != want {
		t.Errorf("got %+v, %v; want %+v", info, err, want)
	}
}

func testPutOwnsNothing(t *testing.T, s storage.Storage) {
	buf := []byte("mine")
	if err := s.Put(t.Context(), "config", buf); err != nil {
		t.Fatal(err)
	}
	copy(buf, "XXXX")
	if got := content(t, s, "config"); got != "mine" {
		t.Errorf("after the caller changed its buffer the object holds %q", got)
	}
	p := make([]byte, 4)
	if _, err := s.ReadAt(t.Context(), "config", p, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	copy(p, "XXXX")
	if got := content(t, s, "config"); got != "mine" {
		t.Errorf("after the caller changed what it had read the object holds %q", got)
	}
}

func testPutNeverReplaces(t *testing.T, s storage.Storage) {
	large := strings.Repeat("0123456789abcdef", 16<<10)
	for _, c := range []struct{ name, first, second string }{
		{"a", "first", "other"},
		{"b", "first", "first and more"},
		{"c", "first", "fir"},
		{"d", "", "something"},
		{"e", "something", ""},
		{"f", large, large[:len(large)-1] + "X"},
	} {
		mustPut(t, s, c.name, c.first)
		wantError(t, s.Put(t.Context(), c.name, []byte(c.second)), storage.ErrExist, c.name)
		if got := content(t, s, c.name); got != c.first {
			t.Errorf("%s was replaced", c.name)
		}
		if err := s.Put(t.Context(), c.name, []byte(c.first)); err != nil {
			t.Errorf("the same contents again: %v", err)
		}
	}
}

func testMissing(t *testing.T, s storage.Storage) {
	mustPut(t, s, "packs/3f/3f02", "x")
	for _, name := range []string{"none", "packs", "packs/3f", "packs/3f/3f0", "packs/40/3f02", "packs/3f/3f02/x"} {
		_, err := s.Stat(t.Context(), name)
		wantError(t, err, fs.ErrNotExist, name)
		_, err = s.ReadAt(t.Context(), name, make([]byte, 1), 0)
		wantError(t, err, fs.ErrNotExist, name)
		if err := s.Delete(t.Context(), name); err != nil {
			t.Errorf("delete %s, which is missing: %v", name, err)
		}
	}
	if got := content(t, s, "packs/3f/3f02"); got != "x" {
		t.Errorf("the object beside them holds %q", got)
	}
}

func testDelete(t *testing.T, s storage.Storage) {
	mustPut(t, s, "leases/aa/00000001", "one")
	mustPut(t, s, "leases/aa/00000002", "two")
	_ = content(t, s, "leases/aa/00000001") // what is kept open must not show through
	for range 2 {
		if err := s.Delete(t.Context(), "leases/aa/00000001"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Stat(t.Context(), "leases/aa/00000001")
	wantError(t, err, fs.ErrNotExist, "leases/aa/00000001")
	_, err = s.ReadAt(t.Context(), "leases/aa/00000001", make([]byte, 3), 0)
	wantError(t, err, fs.ErrNotExist, "leases/aa/00000001")
	if got := list(t, s, ""); !slices.Equal(got, []string{"leases/aa/00000002"}) {
		t.Errorf("what is left: %q", got)
	}
	if err := s.Delete(t.Context(), "leases/aa/00000002"); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("what is left: %q", got)
	}
	mustPut(t, s, "leases/aa/00000003", "three")
	if got := content(t, s, "leases/aa/00000003"); got != "three" {
		t.Errorf("put where all had been deleted: %q", got)
	}
}

func testListOrder(t *testing.T, s storage.Storage) {
	want := []string{"a-b/x", "a-c", "a/0/1", "a/0/2", "a/00", "a/1", "a0/x", "b", "b1", "z/y/x/w"}
	for _, i := range []int{7, 2, 9, 0, 4, 1, 8, 3, 6, 5} {
		mustPut(t, s, want[i], fmt.Sprint(want[i], " holds this"))
	}
	if !slices.IsSorted(want) {
		t.Fatal("the test's own list is not sorted")
	}
	var got []string
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if size := int64(len(fmt.Sprint(info.Name, " holds this"))); info.Size != size {
			t.Errorf("%s has %d bytes, listed with %d", info.Name, size, info.Size)
		}
		got = append(got, info.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func testListPrefix(t *testing.T, s storage.Storage) {
	for _, name := range []string{"packs/3f/3f02", "packs/3f/3f03", "packs/40/40aa", "packs-old/x", "pack", "config"} {
		mustPut(t, s, name, name)
	}
	for prefix, want := range map[string][]string{
		"packs":         {"packs/3f/3f02", "packs/3f/3f03", "packs/40/40aa"},
		"packs/3f":      {"packs/3f/3f02", "packs/3f/3f03"},
		"packs/3":       nil,
		"pack":          nil,
		"config":        nil,
		"none":          nil,
		"none/at/all":   nil,
		"packs/3f/3f02": nil,
		"config/x":      nil,
	} {
		if got := list(t, s, prefix); !slices.Equal(got, want) {
			t.Errorf("beneath %q: got %q, want %q", prefix, got, want)
		}
	}
}

func testListStops(t *testing.T, s storage.Storage) {
	for i := range 10 {
		mustPut(t, s, fmt.Sprintf("x/%d", i), "")
	}
	seen := 0
	for _, err := range s.List(t.Context(), "x") {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 3 {
			break
		}
	}
	if got := list(t, s, "x"); len(got) != 10 {
		t.Errorf("a second listing has %d of 10", len(got))
	}
}

// What stays there throughout must be seen, in order, whatever comes and goes.
func testListWhileChanging(t *testing.T, s storage.Storage) {
	for i := range 20 {
		mustPut(t, s, fmt.Sprintf("x/%02d/stays", i), "")
		mustPut(t, s, fmt.Sprintf("x/%02d/goes", i), "")
	}
	var stays []string
	last, i := "", 0
	for info, err := range s.List(t.Context(), "x") {
		if err != nil {
			t.Fatal(err)
		}
		if info.Name <= last {
			t.Errorf("%s comes after %s", info.Name, last)
		}
		last = info.Name
		if strings.HasSuffix(last, "/stays") {
			stays = append(stays, last)
		}
		if i < 20 {
			if err := s.Delete(t.Context(), fmt.Sprintf("x/%02d/goes", 19-i)); err != nil {
				t.Fatal(err)
			}
			mustPut(t, s, fmt.Sprintf("x/%02d/new", i), "")
		}
		i++
	}
	if len(stays) != 20 {
		t.Errorf("%d of 20 objects that stayed were listed", len(stays))
	}
}

func testNames(t *testing.T, s storage.Storage) {
	for _, name := range []string{
		"/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "A", "a.b", ".tmp-x",
		"a b", "a\x00", "a\nb", "ä", `a\b`, "a/" + strings.Repeat("b", storage.MaxName),
	} {
		_, statError := s.Stat(t.Context(), name)
		_, readError := s.ReadAt(t.Context(), name, nil, 0)
		var listError error
		for _, err := range s.List(t.Context(), name) {
			listError = err
		}
		for op, err := range map[string]error{
			"put": s.Put(t.Context(), name, nil), "stat": statError, "read": readError,
			"list": listError, "delete": s.Delete(t.Context(), name),
		} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s %q: error is %v, want %v", op, name, err, fs.ErrInvalid)
			}
		}
	}
	if err := s.Put(t.Context(), "", nil); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("put without a name: %v", err)
	}
	longest := strings.Repeat("ab/", storage.MaxName/3-1) + "cde"
	mustPut(t, s, longest, "deep")
	if got := list(t, s, ""); !slices.Equal(got, []string{longest}) {
		t.Errorf("all objects: %q", got)
	}
}

func testCancelled(t *testing.T, s storage.Storage) {
	mustPut(t, s, "here", "x")
	reason := errors.New("the user has had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	wantError(t, s.Put(ctx, "there", nil), reason, "there")
	wantError(t, s.Delete(ctx, "here"), reason, "here")
	_, err := s.Stat(ctx, "here")
	wantError(t, err, reason, "here")
	_, err = s.ReadAt(ctx, "here", make([]byte, 1), 0)
	wantError(t, err, reason, "here")
	for _, err = range s.List(ctx, "") {
	}
	if !errors.Is(err, reason) {
		t.Errorf("list: error is %v, want %v", err, reason)
	}
	if got := list(t, s, ""); !slices.Equal(got, []string{"here"}) {
		t.Errorf("cancelled operations left %q", got)
	}
}

func testReadAll(t *testing.T, s storage.Storage) {
	mustPut(t, s, "keys/00", "12345")
	mustPut(t, s, "keys/01", "")
	if got := content(t, s, "keys/00") + content(t, s, "keys/01"); got != "12345" {
		t.Errorf("got %q", got)
	}
	if _, err := storage.ReadAll(t.Context(), s, "keys/00", 4); err == nil {
		t.Error("an object of 5 bytes was read with a limit of 4")
	}
	if _, err := storage.ReadAll(t.Context(), s, "keys/00", 5); err != nil {
		t.Error(err)
	}
}

func begin(t *testing.T, s storage.Storage, dir string, parts ...string) storage.Draft {
	t.Helper()
	d, err := s.Begin(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		buf := []byte(part)
		if err := d.Write(t.Context(), buf); err != nil {
			t.Fatal(err)
		}
		clear(buf) // the draft keeps nothing of its caller's
	}
	return d
}

// A draft is no object until it has its name, and one that is given up leaves none.
func testDraft(t *testing.T, s storage.Storage) {
	d := begin(t, s, "packs", "first, ", "", "second")
	begin(t, s, "packs", "given up").Discard()
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("before it has its name: %q", got)
	}
	if err := d.Commit(t.Context(), "packs/3f/3f02"); err != nil {
		t.Fatal(err)
	}
	d.Discard()
	if err := begin(t, s, "packs").Commit(t.Context(), "packs/empty"); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, ""); !slices.Equal(got, []string{"packs/3f/3f02", "packs/empty"}) {
		t.Errorf("objects: %q", got)
	}
	if got := content(t, s, "packs/3f/3f02") + content(t, s, "packs/empty"); got != "first, second" {
		t.Errorf("it holds %q", got)
	}
	for _, name := range []string{"packs", "config", "index/aa", "packs2/aa", "packs/", "packs/.tmp"} {
		wantError(t, begin(t, s, "packs", "x").Commit(t.Context(), name), fs.ErrInvalid, name)
	}
	if _, err := s.Begin(t.Context(), "../packs"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("begun beneath a name that none can have: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d = begin(t, s, "packs", "x")
	cancel()
	if err := d.Write(ctx, []byte("y")); !errors.Is(err, context.Canceled) {
		t.Errorf("written although called off: %v", err)
	}
	if err := d.Commit(t.Context(), "packs/half"); err == nil {
		t.Error("half of what was to be written has a name")
	}
}

func testDraftNeverReplaces(t *testing.T, s storage.Storage) {
	mustPut(t, s, "packs/aa", "equal")
	if err := begin(t, s, "packs", "eq", "ual").Commit(t.Context(), "packs/aa"); err != nil {
		t.Errorf("equal contents: %v", err)
	}
	for _, other := range []string{"equal and more", "eq", "", "EQUAL"} {
		wantError(t, begin(t, s, "packs", other).Commit(t.Context(), "packs/aa"), storage.ErrExist, "packs/aa")
	}
	if got := content(t, s, "packs/aa"); got != "equal" {
		t.Errorf("it holds %q", got)
	}
}
