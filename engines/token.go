package engines

import (
	"fmt"
	"regexp"
)

var tokenForm = regexp.MustCompile(`^[0-9a-f]{20}$`)

// CheckToken refuses what is no name of a restore. Names of databases, cores and
// directories are made of tokens, so each engine checks its own.
func CheckToken(token string) error {
	if !tokenForm.MatchString(token) {
		return fmt.Errorf("restore token %q: want 20 hex digits", token)
	}
	return nil
}
