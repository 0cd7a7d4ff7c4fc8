package repo

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// Name is the twenty hex digits of a session and of the snapshot it commits.
type Name [10]byte

// NewName draws a name.
func NewName(random io.Reader) (Name, error) {
	var n Name
	if _, err := io.ReadFull(random, n[:]); err != nil {
		return n, fmt.Errorf("draw a name: %w", err)
	}
	return n, nil
}

// String returns the twenty digits.
func (n Name) String() string { return hex.EncodeToString(n[:]) }

// IsZero reports whether n names nothing.
func (n Name) IsZero() bool { return n == Name{} }

// MarshalText implements encoding.TextMarshaler; the zero Name is empty.
func (n Name) MarshalText() ([]byte, error) {
	if n.IsZero() {
		return nil, nil
	}
	return []byte(n.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Name) UnmarshalText(text []byte) (err error) {
	*n = Name{}
	if len(text) > 0 {
		*n, err = ParseName(string(text))
	}
	return err
}

// Enumerate tells names, of many the first ones and the last.
func Enumerate(names []Name) string {
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = n.String()
	}
	if last := len(words) - 1; last >= 4 {
		return fmt.Sprintf("%s … %s (%d snapshots)", strings.Join(words[:3], ", "), words[last], len(words))
	}
	return strings.Join(words, ", ")
}

// ParseName reads twenty hex digits.
func ParseName(s string) (Name, error) {
	var n Name
	if b, err := hex.DecodeString(s); err != nil || len(b) != len(n) || hex.EncodeToString(b) != s {
		return n, fmt.Errorf("%q is not a snapshot name of 20 hex digits", s)
	} else {
		copy(n[:], b)
	}
	return n, nil
}
