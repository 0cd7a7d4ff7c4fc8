package tree

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

	"github.com/fxamacker/cbor/v2"

	"holdfast/internal/blob"
)

// The byte layouts of this file are specified in docs/format.md, "Trees" and
// "Streams".

const (
	refSize    = blob.Size + 1 + 8
	maxEncoded = 16 << 20 // bytes of one entry: names, attributes and refs
	maxXattrs  = 1 << 16
)

var (
	encoding = must(cbor.EncOptions{
		Sort:        cbor.SortCanonical,
		String:      cbor.StringToByteString,
		NaNConvert:  cbor.NaNConvertReject,
		InfConvert:  cbor.InfConvertReject,
		IndefLength: cbor.IndefLengthForbidden,
	}.EncMode())
	decoding = must(cbor.DecOptions{
		DupMapKey:          cbor.DupMapKeyEnforcedAPF,
		IndefLength:        cbor.IndefLengthForbidden,
		ByteStringToString: cbor.ByteStringToStringAllowed,
		ExtraReturnErrors:  cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:    4,
		MaxArrayElements:   maxXattrs,
		MaxMapPairs:        32,
	}.DecMode())
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic("tree: CBOR options: " + err.Error())
	}
	return mode
}

// AppendEntry appends e in the form of a directory listing.
func AppendEntry(dst []byte, e *Entry) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return dst, err
	}
	body, err := encoding.Marshal(e)
	if err != nil {
		return dst, fmt.Errorf("encode entry %q: %w", e.Name, err)
	}
	if len(body) > maxEncoded {
		return dst, fmt.Errorf("encode entry %q: %d bytes, more than %d: %w", e.Name, len(body), maxEncoded, ErrInvalid)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(body)))
	return append(dst, body...), nil
}

// Entries decodes a listing. Names come in strictly ascending order, or the
// listing is refused; after an error nothing follows.
func Entries(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		br := bufio.NewReaderSize(r, 64<<10)
		previous := ""
		for {
			e, err := readEntry(br)
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

// readEntry returns io.EOF only at the end of a whole listing.
func readEntry(r *bufio.Reader) (Entry, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return Entry{}, fmt.Errorf("listing ends inside an entry: %w", ErrInvalid)
		}
		return Entry{}, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > maxEncoded {
		return Entry{}, fmt.Errorf("entry of %d bytes, more than %d: %w", n, maxEncoded, ErrInvalid)
	}
	body, err := readBounded(r, int(n))
	if err != nil {
		return Entry{}, err
	}
	var e Entry
	if err := decoding.Unmarshal(body, &e); err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w: %w", err, ErrInvalid)
	}
	return e, e.Validate()
}

// readBounded reads n bytes without trusting n: what is allocated follows what
// really arrives.
func readBounded(r *bufio.Reader, n int) ([]byte, error) {
	const trusted = 64 << 10
	if n <= trusted {
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, endsEarly(err)
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return nil, err
	}
	if len(body) < n {
		return nil, endsEarly(io.ErrUnexpectedEOF)
	}
	return body, nil
}

func endsEarly(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("listing ends inside an entry: %w", ErrInvalid)
	}
	return err
}

// AppendRefs appends refs in their fixed-size form.
func AppendRefs(dst []byte, refs []Ref) []byte {
	for _, r := range refs {
		dst = append(dst, r.ID[:]...)
		dst = append(dst, r.Level)
		dst = binary.LittleEndian.AppendUint64(dst, r.Size)
	}
	return dst
}

// DecodeRefs reads what AppendRefs wrote. The refs of a list that stands at
// level n are all below n, which is what bounds recursion; pass MaxLevel+1 for
// the refs of an entry.
func DecodeRefs(data []byte, below uint8) ([]Ref, error) {
	if len(data)%refSize != 0 {
		return nil, fmt.Errorf("list of refs: %d bytes: %w", len(data), ErrInvalid)
	}
	refs := make([]Ref, len(data)/refSize)
	var total uint64
	for i := range refs {
		rest := data[i*refSize:]
		refs[i].ID = blob.ID(rest[:blob.Size])
		refs[i].Level = rest[blob.Size]
		refs[i].Size = binary.LittleEndian.Uint64(rest[blob.Size+1:])
		if refs[i].Level >= below || refs[i].Size == 0 || refs[i].Size > math.MaxInt64-total {
			return nil, fmt.Errorf("list of refs: item %d out of range: %w", i, ErrInvalid)
		}
		total += refs[i].Size
	}
	return refs, nil
}

// MarshalCBOR encodes the stream as one byte string of refs.
func (s Stream) MarshalCBOR() ([]byte, error) {
	return encoding.Marshal(AppendRefs(nil, s.Refs))
}

// UnmarshalCBOR decodes what MarshalCBOR wrote.
func (s *Stream) UnmarshalCBOR(data []byte) error {
	var raw []byte
	if err := decoding.Unmarshal(data, &raw); err != nil {
		return err
	}
	refs, err := DecodeRefs(raw, MaxLevel+1)
	if err != nil {
		return err
	}
	if len(refs) == 0 {
		refs = nil
	}
	s.Refs = refs
	return nil
}
