package files

import (
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"holdfast/internal/tree"
)

// swapPlan says what Swap does, in a form that Revert reads backwards: for each
// directory that stays where it is, its attributes before and after, and which
// inode each of the names that change has before and after. A parent stands
// before its children.
//
// On disk: "HFMS", a version byte, CBOR (strings are bytes).
type swapPlan struct {
	Directories []stayer `cbor:"1,keyasint"`
}

// stayer is a directory whose children change places with staged ones, while it
// stays itself: the mount, and what holds something that must not be touched.
type stayer struct {
	Path  []string   `cbor:"1,keyasint,omitempty"` // from the mount
	Made  bool       `cbor:"2,keyasint,omitempty"` // nothing was staged for it; Swap makes room for its old children
	Old   attributes `cbor:"3,keyasint"`
	New   attributes `cbor:"4,keyasint"`
	Moves []move     `cbor:"5,keyasint,omitempty"`
}

// move is a name that changes. An inode of 0 means that there is none.
//
// Without root, a directory can change its parent only while its owner may write
// to it. OldMode and NewMode (with type bits) are set for directories that must
// be opened for that, and closed again.
type move struct {
	_                struct{} `cbor:",toarray"`
	Name             string
	Old, New         uint64
	OldMode, NewMode uint32
}

const (
	swapPlanMagic   = "HFMS\x01"
	maxSwapPlan     = 1 << 30 // bytes
	maxSwapPlanList = 1 << 24 // names in one directory
)

func (p *swapPlan) encode() ([]byte, error) {
	mode, err := cbor.EncOptions{Sort: cbor.SortCanonical, String: cbor.StringToByteString}.EncMode()
	if err != nil {
		return nil, err
	}
	data, err := mode.Marshal(p)
	return append([]byte(swapPlanMagic), data...), err
}

// decodeSwapPlan reads what encode wrote.
func decodeSwapPlan(data []byte) (*swapPlan, error) {
	if len(data) < len(swapPlanMagic) || string(data[:len(swapPlanMagic)]) != swapPlanMagic {
		return nil, fmt.Errorf("swap plan: does not begin as one: %w", tree.ErrInvalid)
	}
	mode, err := cbor.DecOptions{
		DupMapKey:          cbor.DupMapKeyEnforcedAPF,
		IndefLength:        cbor.IndefLengthForbidden,
		ByteStringToString: cbor.ByteStringToStringAllowed,
		ExtraReturnErrors:  cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:    8,
		MaxArrayElements:   maxSwapPlanList,
		MaxMapPairs:        16,
	}.DecMode()
	if err != nil {
		return nil, err
	}
	p := &swapPlan{}
	if err := mode.Unmarshal(data[len(swapPlanMagic):], p); err != nil {
		return nil, fmt.Errorf("swap plan: %w: %w", err, tree.ErrInvalid)
	}
	return p, p.validate()
}

func (p *swapPlan) validate() error {
	for _, d := range p.Directories {
		if d.Made && len(d.Path) == 0 {
			return fmt.Errorf("swap plan: the mount itself cannot be made: %w", tree.ErrInvalid)
		}
		names := slices.Clone(d.Path)
		for _, m := range d.Moves {
			if m.Old == m.New {
				return fmt.Errorf("swap plan: %q is the same file before and after: %w", m.Name, tree.ErrInvalid)
			}
			names = append(names, m.Name)
		}
		for _, name := range names {
			if !tree.ValidName(name) {
				return fmt.Errorf("swap plan: %q is not a name: %w", name, tree.ErrInvalid)
			}
		}
	}
	return nil
}
