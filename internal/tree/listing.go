package tree

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"sync"
)

// maxEncoded bounds one entry in a listing, in bytes: names, attributes and refs.
const maxEncoded = 16 << 20

// AppendEntry appends e in the form of a directory listing.
func AppendEntry(dst []byte, e *Entry) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return dst, err
	}
	start := len(dst)
	out := appendEntry(append(dst, 0, 0, 0, 0), e)
	n := len(out) - start - 4
	if n > maxEncoded {
		return dst, fmt.Errorf("encode entry %q: %d bytes, more than %d: %w", e.Name, n, maxEncoded, ErrInvalid)
	}
	binary.LittleEndian.PutUint32(out[start:], uint32(n))
	return out, nil
}

// Entries decodes a listing. Names come in strictly ascending order, or the
// listing is refused; after an error nothing follows.
//
// Entries share memory with their neighbours, a few kilobytes: whoever keeps one
// of many for long should copy what it needs of it.
func Entries(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		br := listingBuffers.Get().(*bufio.Reader)
		defer func() {
			br.Reset(nil)
			listingBuffers.Put(br)
		}()
		br.Reset(r)
		var d decoder
		var e Entry
		previous := ""
		for {
			err := d.next(br, &e)
			if err == io.EOF {
				return
			}
			if err == nil && e.Name <= previous {
				err = fmt.Errorf("entry %q stands after %q: %w", e.Name, previous, ErrInvalid)
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			previous = e.Name
			if !yield(e, nil) {
				return
			}
		}
	}
}

const listingBuffer = 64 << 10

// listingBuffers spares a directory of ten files a buffer of its own.
var listingBuffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, listingBuffer) }}

// next decodes the next entry of a listing. It returns io.EOF only at the end of
// a whole one.
func (d *decoder) next(r *bufio.Reader, e *Entry) error {
	head, err := r.Peek(4)
	if err == io.EOF && len(head) > 0 {
		return errCut
	}
	if err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(head)
	if n > maxEncoded {
		return fmt.Errorf("entry of %d bytes, more than %d: %w", n, maxEncoded, ErrInvalid)
	}
	if 4+n > listingBuffer {
		return d.large(r, int(n), e)
	}
	whole, err := r.Peek(4 + int(n))
	if err == io.EOF {
		return errCut
	}
	if err != nil {
		return err
	}
	if err := d.decode(whole[4:], e); err != nil {
		return err
	}
	_, err = r.Discard(len(whole))
	return err
}

// large decodes an entry that does not fit into the buffer. n is not trusted:
// what is allocated follows what really arrives.
func (d *decoder) large(r *bufio.Reader, n int, e *Entry) error {
	if _, err := r.Discard(4); err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return err
	}
	if len(body) < n {
		return errCut
	}
	return d.decode(body, e)
}

var errCut = fmt.Errorf("listing ends inside an entry: %w", ErrInvalid)
