package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// terminal asks on the process's controlling terminal, whatever stdin and stdout
// are joined to.
type terminal struct{}

func (terminal) line(ctx context.Context, question string) (string, error) {
	return onTerminal(ctx, func(tty *os.File) (string, error) { return readLine(ctx, tty, question) })
}

func (terminal) secret(ctx context.Context, question string) (string, error) {
	return onTerminal(ctx, func(tty *os.File) (answer string, err error) {
		restore, err := hideInput(tty)
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, restore()) }()
		answer, err = readLine(ctx, tty, question)
		fmt.Fprintln(tty) // the one that was typed was not shown either
		return answer, err
	})
}

// onTerminal opens the terminal anew: a descriptor of our own can be read with a
// deadline, so that an interrupt ends the question.
func onTerminal(ctx context.Context, ask func(tty *os.File) (string, error)) (string, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer tty.Close()
	stop := context.AfterFunc(ctx, func() { _ = tty.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	return ask(tty)
}

func readLine(ctx context.Context, tty *os.File, question string) (string, error) {
	if _, err := io.WriteString(tty, question); err != nil {
		return "", err
	}
	const longest = 64 << 10 // of an answer, in bytes
	answer, err := bufio.NewReader(io.LimitReader(tty, longest)).ReadString('\n')
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(answer, "\r\n"), nil
}

// hideInput stops the terminal from showing what is typed until restore is
// called.
func hideInput(tty *os.File) (restore func() error, err error) {
	raw, err := tty.SyscallConn() // not Fd, which would end deadlines
	if err != nil {
		return nil, err
	}
	set := func(change func(*unix.Termios)) error {
		var ioctlErr error
		err := raw.Control(func(fd uintptr) {
			var state *unix.Termios
			if state, ioctlErr = unix.IoctlGetTermios(int(fd), unix.TCGETS); ioctlErr == nil {
				change(state)
				ioctlErr = unix.IoctlSetTermios(int(fd), unix.TCSETS, state)
			}
		})
		return errors.Join(err, ioctlErr)
	}
	if err := set(func(s *unix.Termios) { s.Lflag &^= unix.ECHO }); err != nil {
		return nil, err
	}
	return func() error { return set(func(s *unix.Termios) { s.Lflag |= unix.ECHO }) }, nil
}
