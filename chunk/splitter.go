package chunk

import (
	"errors"
	"io"
)

// Splitter cuts one stream after the other. It serves one goroutine at a time.
type Splitter struct {
	cutter *Cutter
	source io.Reader
	buffer []byte // made when a stream is longer than one chunk's minimum
	ahead  []byte // the part of buffer that was read and not returned
	ended  bool   // the source has no more
}

// NewSplitter returns a Splitter; Reset gives it a stream.
func NewSplitter(p Polynomial, s Sizes) *Splitter {
	return &Splitter{cutter: NewCutter(p, s), ended: true}
}

// Reset starts with the stream that r yields.
func (s *Splitter) Reset(r io.Reader) {
	s.cutter.Reset()
	s.source, s.ahead, s.ended = r, nil, false
}

// Next returns the next chunk, in buf if its capacity is at least Sizes.Max, and
// io.EOF after the last. An empty stream has no chunks.
func (s *Splitter) Next(buf []byte) ([]byte, error) {
	if uint32(cap(buf)) < s.cutter.sizes.Max {
		buf = make([]byte, s.cutter.sizes.Max)
	}
	// Most files are shorter than the shortest chunk: they need no other buffer.
	if len(s.ahead) == 0 && !s.ended {
		head := buf[:s.cutter.sizes.Min]
		n, err := io.ReadFull(s.source, head)
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			s.ended = true
			return buf[:n], endOf(n)
		}
		if err != nil {
			return nil, err
		}
		s.keep(head)
	}
	for {
		if n := s.cutter.Cut(s.ahead, s.ended); n > 0 || s.ended {
			chunk := buf[:copy(buf, s.ahead[:n])]
			s.ahead = s.ahead[n:]
			return chunk, endOf(n)
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

func endOf(n int) error {
	if n == 0 {
		return io.EOF
	}
	return nil
}

// keep moves what is ahead to the front of the buffer.
func (s *Splitter) keep(ahead []byte) {
	if s.buffer == nil {
		s.buffer = make([]byte, 2*s.cutter.sizes.Max)
	}
	s.ahead = s.buffer[:copy(s.buffer, ahead)]
}

// fill reads more behind what is ahead, which is less than the longest chunk.
func (s *Splitter) fill() error {
	if len(s.ahead) == cap(s.ahead) {
		s.keep(s.ahead)
	}
	n, err := s.source.Read(s.ahead[len(s.ahead):cap(s.ahead)])
	s.ahead = s.ahead[:len(s.ahead)+n]
	s.ended = err == io.EOF
	if s.ended {
		return nil
	}
	return err
}
