package snapshot

import (
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
