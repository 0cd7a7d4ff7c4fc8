package tree

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"

	"holdfast/internal/blob"
)

// The byte layouts of this package are specified in docs/format.md, "Streams and
// trees".

const refSize = blob.Size + 1 + 8

// An entry outside a listing, the root in a snapshot's record, is a CBOR value
// in another, and goes by the tags of Entry. The codec of listings gives the
// same bytes, and is compared with this one.
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
		MaxArrayElements:   maxItems,
		MaxMapPairs:        32,
	}.DecMode())
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic("tree: CBOR options: " + err.Error())
	}
	return mode
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
	refs := make([]Ref, len(data)/refSize)
	return refs, decodeRefs(refs, data, below)
}

// decodeRefs fills refs, which has len(data)/refSize elements.
func decodeRefs(refs []Ref, data []byte, below uint8) error {
	if len(data)%refSize != 0 {
		return fmt.Errorf("list of refs: %d bytes: %w", len(data), ErrInvalid)
	}
	var total uint64
	for i := range refs {
		rest := data[i*refSize:]
		r := &refs[i]
		r.ID = blob.ID(rest[:blob.Size])
		r.Level = rest[blob.Size]
		r.Size = binary.LittleEndian.Uint64(rest[blob.Size+1:])
		if r.Level >= below || r.Size == 0 || r.Size > math.MaxInt64-total {
			return fmt.Errorf("list of refs: item %d out of range: %w", i, ErrInvalid)
		}
		total += r.Size
	}
	return nil
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
