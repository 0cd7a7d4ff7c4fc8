package seal

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// maxEpochs bounds how often a repository's keys can be rotated.
const maxEpochs = 1 << 16

// RepositoryID tells repositories apart. It is no secret.
type RepositoryID [16]byte

// String returns the id as 32 hex digits.
func (id RepositoryID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id RepositoryID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// Epoch is one data key and its number, counted from 1.
type Epoch struct {
	_      struct{} `cbor:",toarray"`
	Number uint32
	Key    [32]byte
}

// Root is what the key slots protect: whoever holds it reads the repository.
type Root struct {
	Repository RepositoryID `cbor:"1,keyasint"`
	IDKey      [32]byte     `cbor:"2,keyasint"` // of every BLAKE3 that names a blob
	Epochs     []Epoch      `cbor:"3,keyasint"` // numbered 1, 2, 3 …; the last one seals what is new
}

// NewRoot draws the keys of a new repository, with one epoch.
func NewRoot(random io.Reader) (*Root, error) {
	r := new(Root)
	for _, part := range [][]byte{r.Repository[:], r.IDKey[:]} {
		if _, err := io.ReadFull(random, part); err != nil {
			return nil, fmt.Errorf("draw repository keys: %w", err)
		}
	}
	return r, r.AddEpoch(random)
}

// AddEpoch draws a new data key, under which everything is sealed from then on
// by whoever opens a slot that was written with it. After an error r is as before.
func (r *Root) AddEpoch(random io.Reader) error {
	if len(r.Epochs) == maxEpochs {
		return fmt.Errorf("add a key epoch: there are %d, the most there can be", maxEpochs)
	}
	e := Epoch{Number: uint32(len(r.Epochs)) + 1}
	if _, err := io.ReadFull(random, e.Key[:]); err != nil {
		return fmt.Errorf("add a key epoch: draw its key: %w", err)
	}
	r.Epochs = append(slices.Clip(r.Epochs), e)
	return nil
}

// String names the repository and nothing secret.
func (r *Root) String() string { return "root record of repository " + r.Repository.String() }

// Marshal encodes the record for a key slot.
func (r *Root) Marshal() ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	data, err := encoding.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode root record: %w", err)
	}
	return data, nil
}

// ParseRoot decodes what Marshal wrote, and nothing else: one record has one
// encoding.
func ParseRoot(data []byte) (*Root, error) {
	r := new(Root)
	if err := decoding.Unmarshal(data, r); err != nil {
		return nil, damaged("root record: %w", err)
	}
	again, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	// The decoder fills arrays from byte strings of any length and takes longer
	// forms of a number.
	if !bytes.Equal(again, data) {
		return nil, damaged("root record: not in canonical form")
	}
	return r, nil
}

func (r *Root) validate() error {
	if len(r.Epochs) == 0 || len(r.Epochs) > maxEpochs {
		return damaged("root record: %d epochs", len(r.Epochs))
	}
	for i, e := range r.Epochs {
		if uint64(e.Number) != uint64(i)+1 {
			return damaged("root record: epoch %d stands at place %d", e.Number, i+1)
		}
	}
	return nil
}

var (
	encoding = must(cbor.EncOptions{
		Sort:        cbor.SortCanonical,
		IndefLength: cbor.IndefLengthForbidden,
	}.EncMode())
	decoding = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   4,
		MaxArrayElements:  maxEpochs,
		MaxMapPairs:       16,
	}.DecMode())
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic("seal: CBOR options: " + err.Error())
	}
	return mode
}
