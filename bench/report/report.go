// Package report keeps what was measured and shows it: as JSON, as tables for a
// terminal and for a page, and as a picture.
//
//	measurements -> Comparison | Curve | Days | Gate -> JSON file
//	JSON file -> Tables -> text, Markdown, a page's markers
//	          -> Picture -> SVG
//
// Nothing in a table is typed: every number comes from a JSON file, and a file is
// what one call of bench has measured.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A Measurement is what one command took.
type Measurement struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"` // user and system
	Peak    int64   `json:"peak_bytes"`  // of resident memory
	// Durable, of a restore, is the time until what it wrote was on the disk: where
	// the tool did not wait for that, the file system was synced after it.
	Durable float64 `json:"durable_seconds,omitempty"`
	// ServerCPU is what a database server that had a part in it took beside CPU.
	ServerCPU float64 `json:"server_cpu_seconds,omitempty"`
}

// Common is what every result begins with.
type Common struct {
	Kind    string   `json:"kind"` // comparison, curve, days or gate
	Machine string   `json:"machine"`
	Data    string   `json:"data"`
	LeftOut []string `json:"left_out,omitempty"` // tools, and why
}

// A Result is what one call of bench has measured.
type Result interface {
	// About is what is measured, on what and with which versions, a line each.
	About() []string
	Tables() []Table
	// Picture is an SVG document.
	Picture() []byte
}

// Load reads a result from a file.
func Load(path string) (Result, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var common Common
	if err := json.Unmarshal(content, &common); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var result Result
	switch common.Kind {
	case "comparison":
		result = new(Comparison)
	case "curve":
		result = new(Curve)
	case "days":
		result = new(Days)
	case "gate":
		result = new(Gate)
	default:
		return nil, fmt.Errorf("read %s: it holds no result but %q", path, common.Kind)
	}
	if err := json.Unmarshal(content, result); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return result, nil
}

// Save writes a result to a file, so that another process sees it as it was or as
// it is.
func Save(path string, r Result) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	beside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(beside, append(content, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(beside, path)
}

// Text writes a result for a terminal.
func Text(w io.Writer, r Result) error {
	for _, line := range r.About() {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	for _, t := range r.Tables() {
		if err := t.text(w); err != nil {
			return err
		}
	}
	return nil
}
