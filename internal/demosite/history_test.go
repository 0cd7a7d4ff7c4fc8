package demosite

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// After a restore into the running site the numbers are used again; what
// followed the restored state never happened.
func TestHistoryForks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	s, err := Create(t.Context(), dir, small)
	if err != nil {
		t.Fatal(err)
	}
	p := copyOf(t, s)
	seq := seqOf(t, s)
	if _, err := s.Change(t.Context(), 0.01, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "-wal", "-shm"} {
		os.Remove(s.place.Database + name)
	}
	if err := os.Rename(p.Database, s.place.Database); err != nil {
		t.Fatal(err)
	}
	s, err = Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.comment(t.Context(), 1, 1, "after the restore"); err != nil {
		t.Fatal(err)
	}
	history := historyOf(t, dir)
	if len(history) != int(seq)+1 {
		t.Fatalf("the history has %d changes, want %d and the new one", len(history), seq)
	}
	rows, _, err := readRows(t.Context(), s.place.Database)
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	r.compareRows(rows, history.rowsAt(seq+1))
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}

func TestHistoryRejects(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":      "{\"seq\":1}\nnonsense\n",
		"a gap":        "{\"seq\":1}\n{\"seq\":3}\n",
		"no number":    "{}\n",
		"a short hash": `{"seq":1,"put":[{"table":"users","id":1,"hash":"abcd"}]}` + "\n",
		"a long line":  `{"seq":1}` + strings.Repeat(" ", maxHistoryLine) + "\n",
	} {
		if _, err := decodeHistory(strings.NewReader(text)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func FuzzHistory(f *testing.F) {
	f.Add([]byte(`{"seq":1,"put":[{"table":"users","id":1,"hash":"000102030405060708090a0b0c0d0e0f"}],"files":[{"path":"a","size":3,"hash":"000102030405060708090a0b0c0d0e0f"}]}
{"seq":2,"removed":[{"table":"users","id":1}]}
{"seq":2}
`))
	f.Fuzz(func(t *testing.T, text []byte) {
		history, err := decodeHistory(bytes.NewReader(text))
		if err != nil {
			return
		}
		var again bytes.Buffer
		for i, c := range history {
			if c.Seq != int64(i)+1 {
				t.Fatalf("element %d is change %d", i, c.Seq)
			}
			if err := c.write(&again); err != nil {
				t.Fatal(err)
			}
		}
		repeated, err := decodeHistory(&again)
		if err != nil || !slices.EqualFunc(history, repeated, func(a, b Change) bool {
			return slices.Equal(a.Put, b.Put) && slices.Equal(a.Removed, b.Removed) && slices.Equal(a.Files, b.Files)
		}) {
			t.Fatalf("%v became %v: %v", history, repeated, err)
		}
		history.rowsAt(int64(len(history)))
		history.uploads()
	})
}
