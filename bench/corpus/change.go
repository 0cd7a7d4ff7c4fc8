package corpus

import (
	"bufio"
	"fmt"
	"iter"
	"os"
	"path/filepath"
)

// A change is some new bytes in one file.
type change struct {
	path    string // relative
	at      int64  // where in the file, or one of the two below
	content []byte // valid until the next change is asked for
}

const (
	atEnd   = -1 // of a file that exists
	newFile = -2 // the file is created
)

func (c change) apply(dir string) error {
	path := filepath.Join(dir, c.path)
	write := func(w *bufio.Writer) error {
		_, err := w.Write(c.content)
		return err
	}
	switch c.at {
	case newFile:
		return writeFile(path, write)
	case atEnd:
		return appendFile(path, write)
	}
	return overwriteAt(path, c.at, c.content)
}

// newsOf writes each change into a file of its own below dir, in the
// directory of the file that it belongs to.
func newsOf(dir string, changes iter.Seq[change]) error {
	n := 0
	for c := range changes {
		kind := filepath.Dir(c.path)
		c.path, c.at = filepath.Join(kind, fmt.Sprintf("new%05d", n)), newFile
		if err := c.apply(dir); err != nil {
			return err
		}
		n++
	}
	return nil
}

// appendFile adds what content writes to the end of an existing file.
func appendFile(path string, content func(w *bufio.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	return fill(file, content)
}

// overwriteAt writes b into the existing file at path.
func overwriteAt(path string, offset int64, b []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteAt(b, offset); err != nil {
		return err
	}
	return file.Close()
}
