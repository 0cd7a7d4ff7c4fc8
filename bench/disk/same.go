package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/zeebo/blake3"
)

// block is how much of a file is looked at as one.
const block = 256 << 10

// Contents is what the files of a tree hold: a hash by relative path.
type Contents struct {
	root   string
	hashes map[string][32]byte
}

// ContentsOf reads all files below dir.
func ContentsOf(ctx context.Context, dir string) (Contents, error) {
	c := Contents{root: dir, hashes: map[string][32]byte{}}
	var lock sync.Mutex
	buffers := make([][]byte, runtime.GOMAXPROCS(0))
	err := each(ctx, dir, func(path string, file *os.File, worker int) error {
		if buffers[worker] == nil {
			buffers[worker] = make([]byte, block)
		}
		sum, err := hash(file, buffers[worker])
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		relative, err := filepath.Rel(dir, path)
		lock.Lock()
		defer lock.Unlock()
		c.hashes[relative] = sum
		return err
	})
	return c, err
}

var zeros [block]byte

// hash is over the length and all blocks but those of zeros, each with its place:
// whether zeros are holes makes no difference.
func hash(file *os.File, buffer []byte) ([32]byte, error) {
	var number [8]byte
	sum := blake3.New()
	length, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return [32]byte{}, err
	}
	binary.LittleEndian.PutUint64(number[:], uint64(length))
	sum.Write(number[:])
	all, err := extents(file)
	if err != nil {
		return [32]byte{}, err
	}
	done := int64(0)
	for _, e := range all {
		for at := max(done, e.Start/block*block); at < e.End; at += block {
			n, err := file.ReadAt(buffer, at)
			if err != nil && err != io.EOF {
				return [32]byte{}, err
			}
			done = at + block
			if bytes.Equal(buffer[:n], zeros[:n]) {
				continue
			}
			binary.LittleEndian.PutUint64(number[:], uint64(at))
			sum.Write(number[:])
			sum.Write(buffer[:n])
		}
	}
	return [32]byte(sum.Sum(nil)), nil
}

// Same reports an error unless out holds exactly these files with the same bytes.
// Where a tool restores whole paths, they are descended first.
func (c Contents) Same(ctx context.Context, out string) error {
	root, err := descend(out, c.root)
	if err != nil {
		return err
	}
	got, err := ContentsOf(ctx, root)
	if err != nil {
		return err
	}
	for path, sum := range c.hashes {
		if restored, ok := got.hashes[path]; !ok {
			return fmt.Errorf("%s is missing", path)
		} else if restored != sum {
			return fmt.Errorf("%s has other bytes", path)
		}
	}
	for path := range got.hashes {
		if _, ok := c.hashes[path]; !ok {
			return fmt.Errorf("%s was never in the corpus", path)
		}
	}
	return nil
}

// descend goes down from out, through directories that hold one directory and
// nothing else, to where the entries of corpus are.
func descend(out, corpus string) (string, error) {
	want, err := os.ReadDir(corpus)
	if err != nil || len(want) == 0 {
		return out, err
	}
	for {
		if _, err := os.Lstat(filepath.Join(out, want[0].Name())); err == nil {
			return out, nil
		}
		entries, err := os.ReadDir(out)
		if err != nil {
			return "", err
		}
		if len(entries) != 1 || !entries[0].IsDir() {
			return "", fmt.Errorf("%s of the corpus is not in %s", want[0].Name(), out)
		}
		out = filepath.Join(out, entries[0].Name())
	}
}
