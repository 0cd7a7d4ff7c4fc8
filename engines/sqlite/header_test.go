package sqlite

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func page1(t testing.TB) []byte {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("testdata", "page1"))
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestHeader(t *testing.T) {
	h, err := parseHeader(page1(t))
	want := header{pageSize: 1024, wal: true, pages: 3, counter: 2, encoding: 1, version: 3040001}
	if err != nil || h != want {
		t.Errorf("header %+v, %v; want %+v", h, err, want)
	}
	if h.server() != "SQLite 3.40.1" || h.position() != "change counter 2" {
		t.Errorf("%s, %s", h.server(), h.position())
	}
}

func TestHeaderCutAtEveryByte(t *testing.T) {
	page := page1(t)
	for n := range headerSize {
		if _, err := parseHeader(page[:n]); !errors.Is(err, errNoDatabase) {
			t.Errorf("%d bytes are taken for a header: %v", n, err)
		}
	}
}

// A flipped byte must not pass where SQLite itself relies on it.
func TestHeaderFlippedAtEveryByte(t *testing.T) {
	for n := range headerSize {
		page := page1(t)
		page[n] ^= 0xff
		_, err := parseHeader(page)
		strict := n < len(magic) || n >= atPageSize && n < atCounter && n != atJournal && n != atReserved
		if strict != (err != nil) {
			t.Errorf("byte %d flipped: %v", n, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(page1(f))
	f.Add([]byte(magic))
	f.Add(bytes.Repeat([]byte{0xff}, headerSize))
	f.Fuzz(func(t *testing.T, page []byte) {
		h, err := parseHeader(page)
		if err == nil && (h.pageSize < 512 || h.pageSize > 65536) {
			t.Errorf("page size %d", h.pageSize)
		}
	})
}

func TestFitPage1(t *testing.T) {
	current, page := page1(t), page1(t)
	page[atJournal], page[atJournal+1] = rollbackMode, rollbackMode
	current[atCookie+3] = 41
	if cookie := fitPage1(page, current, false); cookie != 41 || page[atCookie+3] != 41 || page[atJournal] != rollbackMode {
		t.Errorf("cookie %d, mode %d", cookie, page[atJournal])
	}
	if fitPage1(page, current, true); page[atJournal] != walMode || page[atJournal+1] != walMode {
		t.Errorf("mode %d", page[atJournal])
	}
}
