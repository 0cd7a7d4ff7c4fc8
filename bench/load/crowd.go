package load

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Crowd is many visitors who have asked, and wait.
type Crowd struct{ conns []net.Conn }

// Ask lets n visitors ask, over a connection each.
func Ask(ctx context.Context, address string, n int) (*Crowd, error) {
	c := &Crowd{}
	var d net.Dialer
	for range n {
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			c.conns = append(c.conns, conn)
			_, err = io.WriteString(conn, request)
		}
		if err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Answers waits for all answers and returns how many were good.
func (c *Crowd) Answers() int {
	var good atomic.Int64
	var readers sync.WaitGroup
	for _, conn := range c.conns {
		readers.Go(func() {
			_ = conn.SetDeadline(time.Now().Add(patience))
			if readAnswer(conn) == nil {
				good.Add(1)
			}
		})
	}
	readers.Wait()
	return int(good.Load())
}

// Close closes all connections.
func (c *Crowd) Close() {
	for _, conn := range c.conns {
		conn.Close()
	}
}
