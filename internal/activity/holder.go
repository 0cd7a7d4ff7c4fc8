package activity

import (
	"fmt"
	"strings"

	"holdfast/internal/process"
)

// Kind is what an operation does.
type Kind string

// The kinds that the command line knows; others can be added without changing
// the format.
const (
	Create  Kind = "create"
	Restore Kind = "restore"
	Delete  Kind = "delete"
)

// Holder is an operation under way: who asks for a lease, and who records.
type Holder struct {
	Activity string          `cbor:"1,keyasint" json:"activity"` // 20 hex digits
	Kind     Kind            `cbor:"2,keyasint" json:"kind"`
	Process  process.Process `cbor:"3,keyasint" json:"process"`
}

// NewHolder returns the operation of that name in this process.
func NewHolder(activity string, kind Kind) (Holder, error) {
	p, err := process.This()
	if err != nil {
		return Holder{}, err
	}
	h := Holder{Activity: activity, Kind: kind, Process: p}
	return h, h.validate()
}

func (h *Holder) validate() error {
	if !validID(h.Activity) {
		return fmt.Errorf("activity %q is not 20 hex digits: %w", h.Activity, ErrInvalid)
	}
	if h.Kind == "" || len(h.Kind) > 32 || strings.Trim(string(h.Kind), "abcdefghijklmnopqrstuvwxyz-") != "" {
		return fmt.Errorf("activity %s: kind %q: %w", h.Activity, h.Kind, ErrInvalid)
	}
	if p := h.Process; p.Host == "" || len(p.Host) > 255 || len(p.Boot) > 255 || p.PID <= 0 {
		return fmt.Errorf("process %d on %q: %w", p.PID, p.Host, ErrInvalid)
	}
	return nil
}
