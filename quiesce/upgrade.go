package quiesce

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
)

// Hijack hands the visitor's connection to the proxy when both sides speak another
// protocol from now on, and listens to what the visitor says meanwhile.
func (v *visit) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(v.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	v.hijacked = true
	if v.upload != nil {
		v.upload.answered.Store(true)
	}
	heard := &upgraded{Conn: conn, early: rw.Reader, visit: v}
	if strings.EqualFold(v.upgrade, "websocket") {
		heard.frames = new(frames)
	}
	// Whoever reads through the buffer is to be heard, too; it need not hold anything.
	return heard, bufio.NewReadWriter(bufio.NewReaderSize(heard, 0), rw.Writer), nil
}

// upgraded is a visitor's connection whose requests the gate no longer sees. What
// the visitor sends while requests are held may change the site's data.
type upgraded struct {
	net.Conn
	early  *bufio.Reader // what was read before the protocol changed
	visit  *visit
	frames *frames // nil: any byte may
}

func (u *upgraded) Read(p []byte) (int, error) {
	var from io.Reader = u.Conn
	if u.early.Buffered() > 0 {
		from = u.early
	}
	n, err := from.Read(p)
	if n > 0 && (u.frames == nil || u.frames.anyMessage(p[:n])) {
		u.visit.gate.said(u.visit)
	}
	return n, err
}

// frames tells messages from the frames that only keep a WebSocket alive (RFC 6455,
// section 5.2): pings, pongs and closes, which the server answers by itself.
type frames struct {
	head    [14]byte // of the frame that begins
	have    int
	left    uint64 // bytes of the frame's payload that are still to come
	message bool   // it is a part of one
}

// anyMessage takes the next bytes of a stream of frames, and reports whether some of
// them belong to a message.
func (f *frames) anyMessage(p []byte) bool {
	found := false
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, uint64(len(p)))
			p, f.left = p[n:], f.left-n
			found = found || f.message
			continue
		}
		f.head[f.have] = p[0]
		f.have, p = f.have+1, p[1:]
		const control = 0x8 // the bit of the opcodes that are no messages
		f.message = f.head[0]&control == 0
		found = found || f.message
		if length, whole := f.length(); whole {
			f.have, f.left = 0, length
		}
	}
	return found
}

// length returns the payload's, once the head is whole.
func (f *frames) length() (n uint64, whole bool) {
	if f.have < 2 {
		return 0, false
	}
	size, wide := 2, 0
	switch n = uint64(f.head[1] & 0x7f); n {
	case 126:
		n, wide = 0, 2
	case 127:
		n, wide = 0, 8
	}
	const masked = 0x80
	size += wide
	if f.head[1]&masked != 0 {
		size += 4
	}
	if f.have < size {
		return 0, false
	}
	for _, b := range f.head[2 : 2+wide] {
		n = n<<8 | uint64(b)
	}
	return n, true
}
