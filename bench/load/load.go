// Package load asks an HTTP server over connections that it keeps, and takes as
// little of the machine for that as it can: clients, proxy and site share it. It
// knows the length of all answers after the first, which all have to have.
package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const request = "GET / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" +
	"Accept: text/html,application/xhtml+xml\r\nAccept-Encoding: gzip\r\nCookie: session=0123456789abcdef\r\n\r\n"

// patience bounds one answer.
const patience = 30 * time.Second

// client is one connection.
type client struct {
	conn   net.Conn
	answer []byte // as long as every answer is
}

// dial connects and asks once, to learn how long an answer is.
func dial(ctx context.Context, address string) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	counted := &countingReader{r: conn}
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(conn, request)
	if err == nil {
		err = readAnswer(counted)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	return &client{conn, make([]byte, counted.n)}, nil
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func readAnswer(r io.Reader) error {
	response, err := http.ReadResponse(bufio.NewReader(r), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answered %s", response.Status)
	}
	return nil
}

func (c *client) ask() error {
	if _, err := io.WriteString(c.conn, request); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.conn, c.answer); err != nil {
		return err
	}
	return isGood(c.answer)
}

func isGood(answer []byte) error {
	if status := string(answer[:15]); status != "HTTP/1.1 200 OK" {
		return fmt.Errorf("an answer began with %q", status)
	}
	return nil
}

// Answers returns once address does.
func Answers(ctx context.Context, address string) error {
	var last error
	for range 200 {
		c, err := dial(ctx, address)
		if err == nil {
			return c.conn.Close()
		}
		last = err
		time.Sleep(50 * time.Millisecond)
	}
	return last
}

// Full asks over so many connections, on each again as soon as it is answered, and
// returns how many answers came within length.
func Full(ctx context.Context, address string, clients int, length time.Duration) (int64, error) {
	var total atomic.Int64
	err := each(ctx, address, clients, func(_ int, c *client) error {
		n := int64(0)
		for end := time.Now().Add(length); time.Now().Before(end); n++ {
			if err := c.ask(); err != nil {
				return err
			}
		}
		total.Add(n)
		return nil
	})
	return total.Load(), err
}

// each dials so many connections, and then calls f for all at the same time.
func each(ctx context.Context, address string, n int, f func(i int, c *client) error) error {
	all := make([]*client, n)
	for i := range all {
		c, err := dial(ctx, address)
		if err != nil {
			return err
		}
		defer c.conn.Close()
		all[i] = c
	}
	var group errgroup.Group
	for i, c := range all {
		group.Go(func() error {
			_ = c.conn.SetDeadline(time.Now().Add(time.Hour))
			return f(i, c)
		})
	}
	return group.Wait()
}
