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
	// DefaultFine are the chunk sizes for dumps, page files and listings.
	DefaultFine = chunk.Sizes{Min: 16 << 10, Average: 64 << 10, Max: 512 << 10}
	// DefaultCoarse are those for files.
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
