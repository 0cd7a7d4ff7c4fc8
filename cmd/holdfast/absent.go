package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"holdfast/repo"
)

// notInSnapshot says why a path cannot be had from a snapshot, as far as that is known: what
// was lost may be in another snapshot, and what was never there is a mistake.
func notInSnapshot(err error, s repo.Listed, at string) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("snapshot %s: %w", s.Name, err)
	}
	at = strings.Trim(path.Clean("/"+at), "/")
	lost := ""
	if s.Damage != nil {
		if why, ok := lossOf(s.Damage.Lost, at); ok {
			lost = fmt.Sprintf("has lost %s, because the repository was damaged: %s", at, why)
		}
	}
	for _, service := range s.Saved {
		if why, ok := lossOf(service.Losses, at); ok {
			lost = fmt.Sprintf("lacks %s, which could not be read when it was taken: %s", at, why)
		}
	}
	if lost == "" {
		return &withHint{fmt.Errorf("snapshot %s: %w", s.Name, err), fmt.Sprintf("\"holdfast snapshot ls %s\" shows what it holds", s.Name)}
	}
	return &withHint{fmt.Errorf("snapshot %s %s", s.Name, lost),
		fmt.Sprintf("another snapshot may have it: holdfast -e %s snapshot find %s", s.Environment, quoted(literal.Replace(at)))}
}

// literal makes a pattern of a path.
var literal = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

// lossOf returns why a path, or a directory above it, is among losses.
func lossOf(losses []repo.Loss, at string) (reason string, ok bool) {
	for _, l := range losses {
		if l.Path != "" && (at == l.Path || strings.HasPrefix(at, l.Path+"/")) {
			return l.Reason, true
		}
	}
	return "", false
}
