package quiesce

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAGateThatSaysNothingIsGivenUp: a process that hangs still takes connections,
// because the kernel does.
func TestAGateThatSaysNothingIsGivenUp(t *testing.T) {
	dir, err := os.MkdirTemp("", "hf-silent-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	began := time.Now()
	_, err = Client(path).holdWithin(t.Context(), Request{Mode: Mark, Holder: "a test"}, 50*time.Millisecond)
	if !errors.Is(err, ErrNoGate) || !strings.Contains(err.Error(), path+" has said nothing for 50ms; end that process") {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}
