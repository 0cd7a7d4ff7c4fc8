package redis

import (
	"fmt"
	"testing"

	"holdfast/internal/testserver"
)

// Redis 8 has sets of vectors, as a module that is part of it.
func TestSetsOfVectorsComeBack(t *testing.T) {
	server := testserver.Redis(t, "--enable-debug-command", "yes")
	a := dial(t, server, "", 0)
	if info := a.must("COMMAND", "INFO", "VADD").([]any); info[0] == nil {
		return // an earlier server, or Valkey
	}
	for i := range 300 {
		a.must("VADD", "near", "VALUES", "3", i, 300-i, 0.1, fmt.Sprintf("element %d", i), "NOQUANT", "SETATTR", fmt.Sprintf(`{"i":%d}`, i))
	}
	look := func() string {
		return fmt.Sprint(a.must("VCARD", "near"), a.must("VDIM", "near"), a.must("VEMB", "near", "element 7"), a.must("VGETATTR", "near", "element 299"),
			a.must("VSIM", "near", "ELE", "element 250", "COUNT", "1"))
	}
	want := look()
	for _, database := range []string{"", "0"} {
		memory, result, _ := capture(t, serviceAt(server.URL("", database)), nil)
		if len(result.Losses) > 0 {
			t.Errorf("losses %v", result.Losses)
		}
		a.must("FLUSHALL")
		restore(t, serviceAt(server.URL("", database)), memory, result.Entries)
		if got := look(); got != want {
			t.Errorf("restored they are\n%s\ninstead of\n%s", got, want)
		}
	}
}
