package testserver_test

import (
	"os"
	"testing"

	"holdfast/internal/testserver"
)

func TestRedisServersArePrivateAndKeepWhatTheyLoad(t *testing.T) {
	a, b := testserver.Redis(t), testserver.Redis(t)
	a.Cli(3, "SET motto keep")
	if got := b.Cli(3, "EXISTS motto"); got != "0" {
		t.Errorf("another server has the key: %s", got)
	}
	a.Cli(0, "SAVE")
	dump, err := os.ReadFile(a.Data() + "/dump.rdb")
	if err != nil {
		t.Fatal(err)
	}
	b.Load(dump)
	if got := b.Cli(3, "GET motto"); got != "keep" {
		t.Errorf("after loading: %q", got)
	}
	b.Kill()
	b.Start()
	if got := b.Cli(3, "GET motto"); got != "keep" {
		t.Errorf("after a kill: %q", got)
	}
}
