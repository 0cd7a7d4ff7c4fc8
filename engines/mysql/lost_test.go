package mysql

import (
	"errors"
	"fmt"
	"testing"

	"holdfast/engines"
)

// Somebody is given way to while a table is read: the message names the table once.
func TestALostPointNamesItsTableOnce(t *testing.T) {
	away := fmt.Errorf("table node: somebody waited: %w", engines.ErrPointLost)
	if got := lost(table{name: "node"}, away); got.Error() != away.Error() || !errors.Is(got, engines.ErrPointLost) {
		t.Error(got)
	}
	if got := lost(table{name: "node"}, errors.New("the connection was lost")).Error(); got != "table node: the connection was lost" {
		t.Error(got)
	}
}
