package quiesce

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// The control protocol: JSON objects, one a line. docs/quiesce.md has it.
const (
	maxLine   = 16 << 10        // bytes
	maxHolder = 256             // bytes
	firstLine = 5 * time.Second // within which a client says what it wants
)

// command is what a client says.
type command struct {
	Op      string        `json:"op"` // hold, release, status, settled, force
	Mode    Mode          `json:"mode,omitempty"`
	Holder  string        `json:"holder,omitempty"`
	Drain   time.Duration `json:"drain_ns,omitempty"`
	MaxHold time.Duration `json:"max_hold_ns,omitempty"`
}

const (
	opHold    = "hold"
	opRelease = "release"
	opStatus  = "status"
	opSettled = "settled"
	opForce   = "force"
)

// event is what the gate answers.
type event struct {
	Event   string        `json:"event"` // held, lost, released, status, done, error
	Code    string        `json:"code,omitempty"`
	Message string        `json:"message,omitempty"`
	Drained time.Duration `json:"drained_ns,omitempty"`
	Report  *Report       `json:"report,omitempty"`
	Status  *Status       `json:"status,omitempty"`
}

const (
	eventHeld     = "held"
	eventLost     = "lost"
	eventReleased = "released"
	eventStatus   = "status"
	eventDone     = "done"
	eventError    = "error"
)

// codes are what the errors are called on the wire.
var codes = []struct {
	code string
	err  error
}{
	{"busy", ErrBusy},
	{"drain", ErrRunning},
	{"time", ErrOverdue},
	{"freeze", ErrFreeze},
	{"lost", ErrLost},
	{"protocol", errProtocol},
}

var errProtocol = errors.New("this is not the control protocol")

func codeOf(err error) string {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return "failed"
}

// remote is an error as the gate told it.
type remote struct {
	message string
	err     error
}

func (e *remote) Error() string { return e.message }
func (e *remote) Unwrap() error { return e.err }

func (e event) failure() error {
	for _, c := range codes {
		if c.code == e.Code {
			return &remote{e.Message, c.err}
		}
	}
	return &remote{e.Message, nil}
}

func decodeCommand(line []byte) (command, error) {
	var c command
	if err := decodeLine(line, &c); err != nil {
		return c, err
	}
	switch c.Op {
	case opHold:
		if c.Mode != Mark && c.Mode != Swap {
			return c, fmt.Errorf("%w: hold needs the mode %q or %q", errProtocol, Mark, Swap)
		}
		if c.Drain < 0 || c.MaxHold < 0 || len(c.Holder) > maxHolder {
			return c, fmt.Errorf("%w: times must not be negative, and a holder has at most %d bytes", errProtocol, maxHolder)
		}
	case opRelease, opStatus, opSettled, opForce:
	default:
		return c, fmt.Errorf("%w: unknown op", errProtocol)
	}
	return c, nil
}

func decodeEvent(line []byte) (event, error) {
	var e event
	if err := decodeLine(line, &e); err != nil {
		return e, err
	}
	missing := false
	switch e.Event {
	case eventHeld, eventLost, eventDone, eventError:
	case eventReleased:
		missing = e.Report == nil
	case eventStatus:
		missing = e.Status == nil
	default:
		return e, fmt.Errorf("%w: unknown event", errProtocol)
	}
	if missing {
		return e, fmt.Errorf("%w: %s without its report", errProtocol, e.Event)
	}
	return e, nil
}

func decodeLine(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %v", errProtocol, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one object in a line", errProtocol)
	}
	return nil
}

// wire sends and receives lines.
type wire struct {
	conn  net.Conn
	lines *bufio.Scanner
}

func newWire(conn net.Conn) *wire {
	w := &wire{conn, bufio.NewScanner(conn)}
	w.lines.Buffer(make([]byte, 0, 1024), maxLine)
	return w
}

func (w *wire) send(object any) error {
	line, err := json.Marshal(object)
	if err != nil {
		return err
	}
	_ = w.conn.SetWriteDeadline(time.Now().Add(firstLine)) // a peer that does not read is as good as gone
	_, err = w.conn.Write(append(line, '\n'))
	return err
}

// receive returns the next line, valid until the next call, or io.EOF.
func (w *wire) receive() ([]byte, error) {
	if w.lines.Scan() {
		return w.lines.Bytes(), nil
	}
	if err := w.lines.Err(); err != nil {
		return nil, err
	}
	return nil, io.EOF
}
