package snapshot

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/engines/sqlite"
	"holdfast/internal/environment"
)

func TestSchemaOnlyNeedsTables(t *testing.T) {
	e := environment.Environment{Services: []environment.Service{{Name: "settings", URL: &url.URL{Scheme: "sqlite", Path: "/x.db"}, SchemaOnly: []string{"cache_*"}}}}
	if _, err := Parts(e, []engines.Engine{sqlite.Engine}, nil, false); err == nil || !strings.Contains(err.Error(), "service settings: schema_only is for databases") {
		t.Error(err)
	}
	with := sqlite.Engine
	with.Tables = true
	parts, err := Parts(e, []engines.Engine{with}, nil, false)
	if err != nil || len(parts[0].SchemaOnly) != 1 {
		t.Error(parts, err)
	}
}

// A part is named once, whether or not its engine has done so.
func TestAPartIsNamedOnce(t *testing.T) {
	p := &Part{Service: engines.Service{Name: "database"}}
	for _, c := range []struct{ while, says, want string }{
		{"", "no room", "database: no room"},
		{"", "database: only as a whole", "database: only as a whole"},
		{"", "service database: no such scheme", "service database: no such scheme"},
		{"", "database shop: no room", "database: database shop: no room"},
		{"while it was read", "no room", "database, while it was read: no room"},
	} {
		cause := errors.New(c.says)
		if err := p.wrap(c.while, fmt.Errorf("%w", cause)); err.Error() != c.want || !errors.Is(err, cause) {
			t.Errorf("%q, %q: %v, want %s", c.while, c.says, err, c.want)
		}
	}
}
