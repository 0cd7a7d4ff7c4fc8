package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// console is stderr: chatter, warnings, errors, and at most one live line that is
// drawn again and again. It may be used from several goroutines.
type console struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool       // a line can be drawn again
	width    func() int // of the terminal
	quiet    bool       // no remarks
	live     string
}

// Write prints above the live line.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	n, err := c.w.Write(p)
	c.show()
	return n, err
}

// say prints a remark, a sentence without a full stop, unless --quiet is given.
func (c *console) say(format string, args ...any) {
	c.mu.Lock()
	quiet := c.quiet
	c.mu.Unlock()
	if !quiet {
		c.print("", format, args)
	}
}

func (c *console) setQuiet(quiet bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet = quiet
}

// warn prints a warning, also under --quiet.
func (c *console) warn(format string, args ...any) { c.print("warning: ", format, args) }

func (c *console) print(prefix, format string, args []any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		fmt.Fprintln(c, prefix+printable(line))
	}
}

// draw replaces the live line; "" removes it.
func (c *console) draw(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	c.live = line
	c.show()
}

// clear removes the live line.
func (c *console) clear() { c.draw("") }

func (c *console) erase() {
	if c.live != "" {
		io.WriteString(c.w, "\r\x1b[K")
	}
}

func (c *console) show() {
	if c.live != "" {
		io.WriteString(c.w, c.live)
	}
}
