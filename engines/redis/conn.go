package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// conn is one connection that speaks RESP2, the protocol that all versions know
// (https://redis.io/docs/latest/develop/reference/protocol-spec/). It has state
// that matters here — its name, its database, a transaction — so there is no pool.
// After an error that is not the server's answer it cannot be used any more.
type conn struct {
	network net.Conn
	address string
	r       *bufio.Reader
	w       *bufio.Writer
	broken  bool
}

func newConn(network net.Conn, address string) *conn {
	return &conn{network: network, address: address, r: bufio.NewReaderSize(network, 64<<10), w: bufio.NewWriterSize(network, 64<<10)}
}

// Close closes the connection: the server then ends what it kept for it.
func (c *conn) Close() error {
	c.broken = true
	return c.network.Close()
}

// replyError is an answer that says no.
type replyError string

func (e replyError) Error() string { return string(e) }

// code returns the first word of the server's error in err, such as NOPERM, or "".
func code(err error) string {
	var e replyError
	if !errors.As(err, &e) {
		return ""
	}
	word, _, _ := strings.Cut(string(e), " ")
	return word
}

// do sends one command and returns its answer: a string, an int64, nil, or a
// list of these. Arguments are strings, byte slices and integers.
func (c *conn) do(ctx context.Context, command ...any) (any, error) {
	answers, err := c.pipeline(ctx, command)
	if err != nil {
		return nil, err
	}
	if e, ok := answers[0].(replyError); ok {
		return nil, c.explain(command, e)
	}
	return answers[0], nil
}

// pipeline sends commands at once and returns their answers, errors of the server
// among them as values of type replyError.
func (c *conn) pipeline(ctx context.Context, commands ...[]any) ([]any, error) {
	var answers []any
	err := c.during(ctx, func() error {
		for _, command := range commands {
			c.send(command)
		}
		if err := c.w.Flush(); err != nil {
			return err
		}
		for range commands {
			answer, err := c.receive(0)
			if err != nil {
				return err
			}
			answers = append(answers, answer)
		}
		return nil
	})
	return answers, err
}

// explain says of an answer what was asked, without values.
func (c *conn) explain(command []any, e replyError) error {
	verb := fmt.Sprint(command[0])
	if code(e) == "NOPERM" {
		return fmt.Errorf("the Redis server at %s: the user may not use %s: %w", c.address, verb, e)
	}
	return fmt.Errorf("the Redis server at %s: %s: %w", c.address, verb, e)
}

// during calls f, which reads and writes, and makes it end when ctx does.
func (c *conn) during(ctx context.Context, f func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.broken {
		return fmt.Errorf("the Redis server at %s: %w", c.address, net.ErrClosed)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.network.SetDeadline(time.Unix(1, 0)) })
	err := f()
	stopped := stop()
	if err == nil && stopped {
		return nil
	}
	c.broken = true
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("the Redis server at %s: the connection was lost: %w", c.address, err)
}

func (c *conn) send(command []any) {
	c.head('*', len(command))
	for _, argument := range command {
		text, isText := argument.(string)
		data, isData := argument.([]byte)
		switch { // an error stays until Flush
		case isData:
			c.head('$', len(data))
			_, _ = c.w.Write(data)
		case !isText:
			text = fmt.Sprint(argument)
			fallthrough
		default:
			c.head('$', len(text))
			_, _ = c.w.WriteString(text)
		}
		_, _ = c.w.WriteString("\r\n")
	}
}

func (c *conn) head(kind byte, n int) {
	line := append(c.w.AvailableBuffer(), kind)
	_, _ = c.w.Write(append(strconv.AppendInt(line, int64(n), 10), "\r\n"...))
}

const (
	maxLine  = 64 << 10  // bytes of a line of the protocol
	maxItems = 16 << 20  // of a list
	maxBulk  = 512 << 20 // bytes: the server's own bound of a value
	maxDepth = 8         // of lists in lists
)

var errProtocol = errors.New("the answer is not Redis's protocol")

// receive reads one answer.
func (c *conn) receive(depth int) (any, error) {
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	if line == "" || depth > maxDepth {
		return nil, errProtocol
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return replyError(rest), nil
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return nil, errProtocol
	}
	switch {
	case kind == ':':
		return n, nil
	case (kind == '$' || kind == '*') && n == -1:
		return nil, nil
	case kind == '$' && n >= 0 && n <= maxBulk:
		return c.bulk(int(n))
	case kind == '*' && n >= 0 && n <= maxItems:
		list := []any{}
		for range n {
			item, err := c.receive(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		return list, nil
	}
	return nil, errProtocol
}

func (c *conn) bulk(n int) (string, error) {
	var text strings.Builder
	if _, err := io.CopyN(&text, c.r, int64(n)); err != nil {
		return "", err
	}
	end, err := c.line()
	if err == nil && end != "" {
		err = errProtocol
	}
	return text.String(), err
}

// line reads up to the end of a line, and returns it without that.
func (c *conn) line() (string, error) {
	var line []byte
	for {
		part, err := c.r.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
		if len(line) > maxLine {
			return "", errProtocol
		}
	}
}
