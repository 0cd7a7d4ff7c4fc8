package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zeebo/blake3"
)

// A size is that of a directory tree, in file lengths.
type size struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// measureTree reads all files below dir, so that they are in the page cache, and
// counts them.
func measureTree(dir string) (size, error) {
	var total size
	err := eachFile(dir, func(_ string, file *os.File) error {
		n, err := io.Copy(io.Discard, file)
		total.Files++
		total.Bytes += n
		return err
	})
	return total, err
}

// sameTree reports an error unless out holds exactly the files of corpus with
// the same bytes. Where a tool restores whole paths, they are descended first.
func sameTree(corpus, out string) error {
	want, err := hashes(corpus)
	if err != nil {
		return err
	}
	root, err := descend(out, corpus)
	if err != nil {
		return err
	}
	got, err := hashes(root)
	if err != nil {
		return err
	}
	for path, hash := range want {
		if restored, ok := got[path]; !ok {
			return fmt.Errorf("%s is missing", path)
		} else if restored != hash {
			return fmt.Errorf("%s has other bytes", path)
		}
		delete(got, path)
	}
	for path := range got {
		return fmt.Errorf("%s was never in the corpus", path)
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

func hashes(dir string) (map[string][32]byte, error) {
	all := map[string][32]byte{}
	err := eachFile(dir, func(path string, file *os.File) error {
		hash := blake3.New()
		_, err := io.Copy(hash, file)
		all[path] = [32]byte(hash.Sum(nil))
		return err
	})
	return all, err
}

// eachFile opens every regular file below dir and calls do with its relative path.
func eachFile(dir string, do func(path string, file *os.File) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return do(relative, file)
	})
}
