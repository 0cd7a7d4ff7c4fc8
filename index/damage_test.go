package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWhereThereIsNoCopyItIsToBeBuilt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, copyFile)
	missing := func(what string) {
		t.Helper()
		if c, err := Open(dir); !errors.Is(err, ErrNoCopy) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, %v", what, c, err)
		}
	}
	missing("nothing")
	for _, content := range []string{"", "x", strings.Repeat("x", 100_000), strings.Repeat("\x00", 100_000)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		missing(fmt.Sprintf("%d bytes of %.1q", len(content), content))
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := Build(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	writer, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(writer.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	missing("somebody has locked it")
	if time.Since(start) > 10*time.Second { // without a bound it would be for ever
		t.Error("a reader waited for a lock")
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}

	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newer := data[len(data)-structureEnd:] // layout, and further on its checksum
	newer[0]++
	table := data[len(data)-structureEnd-structurePage*int(newer[8]) : len(data)-8]
	binary.LittleEndian.PutUint32(newer[12:], crc32.Checksum(table, castagnoli))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	missing("another layout")
}

func TestACutCopyIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := Build(t.Context(), dir, inSegments(t, samplePacks(3000, id), 2)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, copyFile)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	used := openCopy(t, dir).tx.Size() // behind it the file is empty
	for size := min(info.Size(), used) - 1; size > 0; size -= 3001 {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); !errors.Is(err, ErrNoCopy) {
			t.Errorf("cut to %d of %d: %v", size, info.Size(), err)
		}
	}
}

// A file that is cut while it is mapped would be a fatal signal to a process that
// does not expect it.
func TestACopyThatIsCutWhileItIsOpen(t *testing.T) {
	dir := t.TempDir()
	c := build(t, dir, inSegments(t, samplePacks(3000, id), 2))
	if err := os.Truncate(filepath.Join(dir, copyFile), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Has(id(1)); !errors.Is(err, ErrNoCopy) {
		t.Errorf("has: %v", err)
	}
	if _, err := c.Lookup(id(1)); !errors.Is(err, ErrNoCopy) {
		t.Errorf("lookup: %v", err)
	}
	for _, err := range c.All() {
		if !errors.Is(err, ErrNoCopy) {
			t.Errorf("all: %v", err)
		}
	}
}

func TestFlippedAnywhereACopyIsRefusedOrRight(t *testing.T) {
	dir := t.TempDir()
	packs := samplePacks(60, id)
	if err := Build(t.Context(), dir, inSegments(t, packs, 2)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, copyFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := newModel(packs)
	refused := 0
	for at := range data {
		if data[at] == 0 && at%16 != 0 {
			continue // most of the file is empty
		}
		if _, err := f.WriteAt([]byte{data[at] ^ 1<<(at%8)}, int64(at)); err != nil {
			t.Fatal(err)
		}
		if err := readAll(dir, want); errors.Is(err, ErrNoCopy) {
			refused++
		} else if err != nil {
			t.Errorf("flipped at %d: %v", at, err)
		}
		if _, err := f.WriteAt(data[at:at+1], int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if refused < 60*rowSize/8 {
		t.Errorf("only %d damages were noticed", refused)
	}
	if err := readAll(dir, want); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

func readAll(dir string, want model) error {
	c, err := Open(dir)
	if err != nil {
		return err
	}
	defer c.Close()
	for i, copies := range want {
		got, err := c.Lookup(i)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(sorted(got), copies) {
			return fmt.Errorf("blob %s: %+v, want %+v", i.Short(), got, copies)
		}
	}
	return nil
}

func TestChecksCoverEveryByte(t *testing.T) {
	for _, size := range []int{0, 1, blockSize - 1, blockSize, blockSize + 1, 3 * blockSize} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i * 7)
		}
		value := appendChecks(bytes.Clone(data))
		c, err := openChecked(value)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.bytes(0, size); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, err := c.bytes(0, size+1); !errors.Is(err, ErrNoCopy) {
			t.Errorf("%d bytes and one more: %v", size, err)
		}
		for at := 0; at < len(value); at += 1 + at/100 {
			flipped := bytes.Clone(value)
			flipped[at] ^= 4
			c, err := openChecked(flipped)
			if err == nil {
				_, err = c.bytes(0, size)
			}
			if !errors.Is(err, ErrNoCopy) {
				t.Errorf("%d bytes, flipped at %d: %v", size, at, err)
			}
			if c, err := openChecked(value[:at]); err == nil {
				if _, err = c.bytes(0, size); !errors.Is(err, ErrNoCopy) {
					t.Errorf("%d bytes, cut at %d: %v", size, at, err)
				}
			}
		}
	}
}

func FuzzChecked(f *testing.F) {
	f.Add(appendChecks(nil), 0, 0)
	f.Add(appendChecks(make([]byte, 5000)), 4000, 1000)
	f.Fuzz(func(t *testing.T, value []byte, off, n int) {
		c, err := openChecked(value)
		if err == nil {
			_, err = c.bytes(off, n)
		}
		if err != nil && !errors.Is(err, ErrNoCopy) {
			t.Error(err)
		}
	})
}
