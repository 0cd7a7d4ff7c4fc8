package engines_test

import (
	"testing"

	"holdfast/engines"
)

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		names    []string
		want     bool
	}{
		{nil, []string{"cache"}, false},
		{[]string{"cache"}, []string{"cache"}, true},
		{[]string{"cache"}, []string{"cache_page"}, false},
		{[]string{"cache"}, []string{"Cache"}, false},
		{[]string{"cache_*"}, []string{"cache_page"}, true},
		{[]string{"cache_*"}, []string{"cache"}, false},
		{[]string{"*_log"}, []string{"a_log_log"}, true},
		{[]string{"*_log*"}, []string{"log"}, false},
		{[]string{"*a*b"}, []string{"xaxbxab"}, true},
		{[]string{"*a*b"}, []string{"xaxbxa"}, false},
		{[]string{"?e_sessions"}, []string{"be_sessions"}, true},
		{[]string{"?e_sessions"}, []string{"e_sessions"}, false},
		{[]string{"ä?"}, []string{"äö"}, true},
		{[]string{"*"}, []string{""}, true},
		{[]string{"[a]"}, []string{"a"}, false},
		{[]string{"cache_*", "!cache_form"}, []string{"cache_form"}, false},
		{[]string{"!cache_form", "cache_*"}, []string{"cache_form"}, true},
		{[]string{"audit.*"}, []string{"log", "audit.log"}, true},
		{[]string{"log"}, []string{"log", "audit.log"}, true},
		{[]string{"*", "!audit.log"}, []string{"log", "audit.log"}, false},
	} {
		if got := engines.Matches(c.patterns, c.names...); got != c.want {
			t.Errorf("Matches(%q, %q) = %v", c.patterns, c.names, got)
		}
	}
}
