package quiesce

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Record is the path of the file that says what is frozen, and under which lease:
// what a keeper needs to know of one that was killed. "" keeps none.
//
// There is a file only while something is frozen or a lease of mode Swap is on.
type Record string

// record is what stands in it, as JSON.
type record struct {
	Version int      `json:"version"`
	Mode    Mode     `json:"mode,omitempty"`
	Holder  string   `json:"holder,omitempty"`
	Frozen  []Frozen `json:"frozen,omitempty"`
	Hooked  bool     `json:"hooked,omitempty"` // --before was begun, so --after has to run
}

const (
	recordVersion = 1
	maxRecord     = 1 << 20 // bytes
)

func (r Record) load() (record, error) {
	var left record
	if r == "" {
		return left, nil
	}
	data, err := os.ReadFile(string(r))
	if errors.Is(err, fs.ErrNotExist) {
		return left, nil
	}
	if err != nil {
		return left, fmt.Errorf("read what an earlier gate has left: %w", err)
	}
	if len(data) == 0 {
		return left, nil // the machine ended before it was on the disk, and what was frozen with it
	}
	return left, left.decode(data, string(r))
}

func (left *record) decode(data []byte, name string) error {
	if len(data) > maxRecord {
		return fmt.Errorf("%s is larger than %d bytes; remove it once nothing is frozen", name, maxRecord)
	}
	if err := json.Unmarshal(data, left); err != nil {
		return fmt.Errorf("%s cannot be read (%v); remove it once nothing is frozen", name, err)
	}
	if left.Version != recordVersion {
		return fmt.Errorf("%s is of version %d, this program knows %d; start the gate that wrote it", name, left.Version, recordVersion)
	}
	if left.Mode != "" && left.Mode != Mark && left.Mode != Swap {
		return fmt.Errorf("%s has the unknown mode %q; remove it once nothing is frozen", name, left.Mode)
	}
	return nil
}

// store replaces the file as a whole. That it survives the end of this process is
// enough: what is frozen does not survive the machine's.
func (r Record) store(now record) error {
	if r == "" {
		return nil
	}
	now.Version = recordVersion
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	next := string(r) + ".new"
	if err := os.WriteFile(next, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write down what is frozen: %w", err)
	}
	if err := os.Rename(next, string(r)); err != nil {
		return fmt.Errorf("write down what is frozen: %w", err)
	}
	return nil
}

func (r Record) remove() error {
	if r == "" {
		return nil
	}
	if err := os.Remove(string(r)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what was frozen: %w", err)
	}
	return nil
}
