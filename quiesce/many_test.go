package quiesce

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/race"
	"holdfast/internal/soak"
)

// perHeld is what a held request may take, in bytes: its connection, both its
// goroutines and its place in the queue. The figure includes what the test's own end
// of the connection takes.
const perHeld = 24 << 10

// Many held at once: all are answered, and none takes much memory.
func TestManyHeldAtOnce(t *testing.T) {
	many := 2000
	if soak.On(t) {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		many = min(10_000, int(limit.Cur/4)-500) // visitor, gate and site are this process
	}
	g, address, _ := inFront(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
	held(t, g)
	before := inUse()
	conns := make([]net.Conn, many)
	for i := range conns {
		var err error
		if conns[i], err = net.Dial("tcp", address); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
		fmt.Fprintf(conns[i], "GET /%d HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html\r\nCookie: session=0123456789abcdef\r\n\r\n", i)
	}
	waiting(t, g, many)
	took := (inUse() - before) / int64(many)
	t.Logf("%d bytes for each of %d held requests", took, many)
	if took > perHeld && !race.Enabled {
		t.Errorf("a held request takes %d bytes, want at most %d", took, perHeld)
	}
	g.release()
	var readers sync.WaitGroup
	for i, conn := range conns {
		readers.Go(func() {
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Errorf("request %d: %v", i, err)
				return
			}
			defer response.Body.Close()
			if body, err := io.ReadAll(response.Body); err != nil || string(body) != fmt.Sprintf("/%d", i) {
				t.Errorf("request %d was answered %d %q, %v", i, response.StatusCode, body, err)
			}
		})
	}
	readers.Wait()
}

// inUse is the memory that the process needs: heap that lives, and stacks.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
