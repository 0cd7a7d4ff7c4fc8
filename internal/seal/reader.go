package seal

import (
	"errors"
	"io"
	"sync/atomic"
)

// batchFrames is how many frames one read of a Reader fetches at most: 1 MiB.
const batchFrames = 16

// Reader is the plaintext of a sealed object, opened frame by frame as it is
// read. It keeps the frame it opened last, so that small reads near each other
// fetch it once, and may be used from several goroutines.
type Reader struct {
	name     string
	at       io.ReaderAt
	start    int64 // of the first frame
	framing  *framing
	last     atomic.Pointer[openFrame]
	keepNone bool
}

type openFrame struct {
	number    int64
	plaintext []byte
}

// OpenReader reads the header of an object of size bytes. A failed tag shows
// only when the frame is read.
func (k *Keys) OpenReader(t Type, name string, size int64, at io.ReaderAt) (*Reader, error) {
	head := make([]byte, min(int64(t.headerSize()), max(size, 0)))
	if err := readFull(at, head, 0); err != nil {
		return nil, Named(name, err)
	}
	f, err := k.framing(t, name, head, size)
	if err != nil {
		return nil, Named(name, err)
	}
	r := &Reader{name: name, at: at, start: int64(len(head)), framing: f}
	if f.size == 0 { // no read would ever come to its one frame
		if _, err := r.readBatch(nil, 0); err != nil {
			return nil, Named(name, err)
		}
	}
	return r, nil
}

// Size returns the length of the plaintext, as the object's size has it. Reading
// to the end proves it.
func (r *Reader) Size() int64 { return r.framing.size }

// KeepNone makes the Reader keep no frame from now on, for whoever has many and
// reads long pieces. It must not be called while the Reader is read.
func (r *Reader) KeepNone() {
	r.keepNone = true
	r.last.Store(nil)
}

// ReadAt implements io.ReaderAt. It gives only bytes whose tag was right.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, Named(r.name, errors.New("negative offset"))
	}
	var end error
	if off >= r.Size() || int64(len(p)) > r.Size()-off {
		p = p[:max(0, r.Size()-off)]
		end = io.EOF
	}
	read := 0
	for read < len(p) {
		n, err := r.readBatch(p[read:], off+int64(read))
		if err != nil {
			return read, Named(r.name, err)
		}
		read += n
	}
	return read, end
}

// readBatch reads from the frame that holds off, and from those behind it if
// one fetch gets them.
func (r *Reader) readBatch(p []byte, off int64) (int, error) {
	first, skip := off/frameSize, int(off%frameSize)
	if f := r.last.Load(); f != nil && f.number == first {
		return copy(p, f.plaintext[skip:]), nil
	}
	frames := (int64(skip+len(p)) + frameSize - 1) / frameSize
	frames = min(max(1, frames), batchFrames, r.framing.frames-first)
	bodySize := r.Size() + r.framing.frames*Overhead
	sealed := make([]byte, min(frames*sealedFrame, bodySize-first*sealedFrame))
	if err := readFull(r.at, sealed, r.start+first*sealedFrame); err != nil {
		return 0, err
	}
	read := 0
	for i := first; i < first+frames; i++ {
		n := min(sealedFrame, len(sealed))
		plaintext, err := r.framing.open(sealed[:0:n], i, sealed[:n]) // in place
		if err != nil {
			return 0, err
		}
		read += copy(p[read:], plaintext[skip:])
		skip = 0
		if frames == 1 && !r.keepNone {
			r.last.Store(&openFrame{number: i, plaintext: plaintext})
		}
		sealed = sealed[n:]
	}
	return read, nil
}

// readFull fills p; an object that is shorter than its storage said is damaged.
func readFull(at io.ReaderAt, p []byte, off int64) error {
	n, err := at.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("it ends at byte %d", off+int64(n))
	}
	return err
}
