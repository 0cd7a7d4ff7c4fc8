package demosite

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// A History is every change that a site committed, in order: change n is the
// element n-1.
type History []Change

// A Change is what one transaction did.
type Change struct {
	Seq     int64     `json:"seq"`
	Put     []rowHash `json:"put,omitempty"`
	Removed []rowKey  `json:"removed,omitempty"`
	Files   []File    `json:"files,omitempty"`
}

type rowKey struct {
	Table string `json:"table"`
	ID    int64  `json:"id"`
}

type rowHash struct {
	rowKey
	Hash hash `json:"hash"`
}

// A File is an upload as the application wrote it.
type File struct {
	Path string `json:"path"` // below the uploads directory
	Size int64  `json:"size"`
	Hash hash   `json:"hash"`
}

// maxHistoryLine bounds what one change may take in the file.
const maxHistoryLine = 1 << 20

// ReadHistory reads the history that the site writes beside itself. A change that
// stands there twice counts as it stands last: it is written before it is
// committed, and where a commit fails, or the site is put back to an earlier
// state, the number is used again and what followed never happened.
func ReadHistory(path string) (History, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	history, err := decodeHistory(file)
	if err != nil {
		return nil, fmt.Errorf("read history %s: %w", path, err)
	}
	return history, nil
}

func decodeHistory(r io.Reader) (History, error) {
	var history History
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxHistoryLine)
	for number := 1; lines.Scan(); number++ {
		var c Change
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if c.Seq < 1 || c.Seq > int64(len(history))+1 {
			return nil, fmt.Errorf("line %d: change %d follows change %d", number, c.Seq, len(history))
		}
		history = append(history[:c.Seq-1], c)
	}
	return history, lines.Err()
}

// write appends c to the file in one piece.
func (c Change) write(w io.Writer) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if len(line) >= maxHistoryLine {
		return fmt.Errorf("change %d takes %d bytes of history, at most %d are possible", c.Seq, len(line), maxHistoryLine)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// rowsAt returns the hash of every row after change seq.
func (h History) rowsAt(seq int64) map[rowKey]hash {
	rows := map[rowKey]hash{}
	for _, c := range h[:min(seq, int64(len(h)))] {
		for _, row := range c.Put {
			rows[row.rowKey] = row.Hash
		}
		for _, key := range c.Removed {
			delete(rows, key)
		}
	}
	return rows
}

// An upload is a file and the change that it came with.
type upload struct {
	File
	seq int64
}

// uploads returns every file that ever was uploaded, by path.
func (h History) uploads() map[string]upload {
	files := map[string]upload{}
	for _, c := range h {
		for _, file := range c.Files {
			if _, known := files[file.Path]; !known {
				files[file.Path] = upload{file, c.Seq}
			}
		}
	}
	return files
}

// Uploaded returns how many files came after change from, up to change to, and
// their size in bytes.
func (h History) Uploaded(from, to int64) (files int, size int64) {
	for _, c := range h[:min(to, int64(len(h)))] {
		if c.Seq <= from {
			continue
		}
		for _, file := range c.Files {
			files++
			size += file.Size
		}
	}
	return files, size
}

// FirstUpload returns the file that came first; the zero File where there is none.
func (h History) FirstUpload() File {
	for _, c := range h {
		if len(c.Files) > 0 {
			return c.Files[0]
		}
	}
	return File{}
}
