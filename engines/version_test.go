package engines_test

import (
	"testing"

	"holdfast/engines"
)

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		here, taken string
		parts       int
		want        bool
	}{
		{"MariaDB 10.5.1", "MariaDB 10.11.6", 2, true},
		{"MariaDB 10.11.6", "MariaDB 10.5.1", 2, false},
		{"MariaDB 10.11.2", "MariaDB 10.11.6", 2, false},
		{"MariaDB 10.11.2", "MariaDB 10.11.6", 3, true},
		{"PostgreSQL 14.9", "PostgreSQL 15.1", 1, true},
		{"PostgreSQL 15.1", "PostgreSQL 15.9", 1, false},
		{"MySQL 8.0.12", "MariaDB 10.11.6", 2, false},
		{"", "MariaDB 10.11.6", 2, false},
		{"MariaDB 10.11.6", "", 2, false},
		{"MariaDB x", "MariaDB 10", 2, false},
	} {
		if got := engines.Older(c.here, c.taken, c.parts); got != c.want {
			t.Errorf("Older(%q, %q, %d) = %v", c.here, c.taken, c.parts, got)
		}
	}
}
