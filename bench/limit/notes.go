package limit

import (
	"encoding/binary"
	"errors"
	"os"
)

// writeNotes writes down what restore needs to know: numbers as varints, paths
// behind their length.
func (l *limit) writeNotes(files []found, all []batch) error {
	b := binary.AppendUvarint(nil, uint64(len(files)))
	for _, f := range files {
		b = binary.AppendUvarint(b, uint64(len(f.path)))
		b = append(b, f.path...)
		b = binary.AppendUvarint(b, uint64(f.size))
		b = binary.AppendUvarint(b, flag(f.sparse))
	}
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, one := range all {
		for _, n := range []uint64{flag(one.packed), uint64(one.pack), uint64(one.offset), uint64(one.length), uint64(len(one.parts))} {
			b = binary.AppendUvarint(b, n)
		}
		for _, p := range one.parts {
			b = binary.AppendUvarint(b, uint64(p.file))
			b = binary.AppendUvarint(b, uint64(p.offset))
			b = binary.AppendUvarint(b, uint64(p.length))
		}
	}
	file, err := os.Create(l.notes())
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(b); err != nil {
		return err
	}
	return syncAndClose(file)
}

func flag(set bool) uint64 {
	if set {
		return 1
	}
	return 0
}

func (l *limit) readNotes() ([]found, []batch, error) {
	content, err := os.ReadFile(l.notes())
	if err != nil {
		return nil, nil, err
	}
	r := reader{rest: content}
	files := make([]found, r.number())
	for i := range files {
		files[i] = found{path: r.text(), size: int64(r.number()), sparse: r.number() == 1}
	}
	all := make([]batch, r.number())
	for i := range all {
		all[i] = batch{packed: r.number() == 1, pack: r.number(), offset: int64(r.number()), length: r.number()}
		all[i].parts = make([]part, r.number())
		for j := range all[i].parts {
			all[i].parts[j] = part{r.number(), int64(r.number()), r.number()}
		}
	}
	if r.short {
		return nil, nil, errors.New("the notes end too soon")
	}
	return files, all, nil
}

// A reader takes numbers and texts from the front of bytes that this program
// wrote a moment ago.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) number() int {
	n, length := binary.Uvarint(r.rest)
	if length <= 0 {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[length:]
	return int(n)
}

func (r *reader) text() string {
	n := r.number()
	if n > len(r.rest) {
		r.short, r.rest = true, nil
		return ""
	}
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}
