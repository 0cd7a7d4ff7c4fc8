package repo

import (
	"fmt"
	"time"

	"holdfast/chunk"
)

// Config holds what is chosen when a repository is made and never changes.
type Config struct {
	Polynomial chunk.Polynomial `cbor:"1,keyasint"`
	Fine       chunk.Sizes      `cbor:"2,keyasint"`
	Coarse     chunk.Sizes      `cbor:"3,keyasint"`
	Created    time.Time        `cbor:"4,keyasint"`
	Program    string           `cbor:"5,keyasint"`
}

var (
	// DefaultFine are the chunk sizes for dumps and page files. What changes in them
	// is small, but is stored as a difference, whatever the chunk's size; what is new is
	// compressed the better the more there is of it.
	DefaultFine = chunk.Sizes{Min: 256 << 10, Average: 512 << 10, Max: 1 << 20}
	// DefaultCoarse are those for files and listings.
	DefaultCoarse = chunk.Sizes{Min: 32 << 10, Average: 128 << 10, Max: 1 << 20}
)

func (c *Config) validate() error {
	if err := c.Polynomial.Validate(); err != nil {
		return err
	}
	if err := c.Fine.Validate(); err != nil {
		return fmt.Errorf("fine grain: %w", err)
	}
	if err := c.Coarse.Validate(); err != nil {
		return fmt.Errorf("coarse grain: %w", err)
	}
	return nil
}
