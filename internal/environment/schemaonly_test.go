package environment_test

import (
	"slices"
	"testing"

	"holdfast/internal/environment"
)

func TestSchemaOnly(t *testing.T) {
	c := load(t, environment.Input{Directory: site(t, `
project: shop
repository: repo
environments:
  master:
    services:
      plain: mysql://u@h/x
      database:
        url: mysql://u@h/y
        schema_only: ["@typo3", "tx_${WHAT}_*", "!cf_keep"]
`), Lookup: variables("WHAT=stats")})
	e := selected(t, c, "")
	if e.Services[0].TablePatterns() != nil {
		t.Error("patterns where none are configured:", e.Services[0].TablePatterns())
	}
	patterns := e.Services[1].TablePatterns()
	for _, want := range []string{"cf_*", "fe_sessions", "tx_stats_*", "!cf_keep"} {
		if !slices.Contains(patterns, want) {
			t.Errorf("%q is not among %q", want, patterns)
		}
	}
	if slices.Contains(patterns, "@typo3") || patterns[len(patterns)-1] != "!cf_keep" {
		t.Errorf("patterns %q", patterns)
	}
	if written := e.Definition().Services[1].SchemaOnly; !slices.Equal(written, []string{"@typo3", "tx_stats_*", "!cf_keep"}) {
		t.Errorf("the definition has %q", written)
	}
}
