package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// draft keeps what is written in memory until it has a name.
type draft struct {
	dir   string
	write func(ctx context.Context, p []byte, do func() error) error
	put   func(ctx context.Context, name string, data []byte) error
	data  []byte
	err   error // what a write failed with
	ended bool
}

// Write implements storage.Draft.
func (d *draft) Write(ctx context.Context, p []byte) error {
	err := d.write(ctx, p, func() error {
		if err := context.Cause(ctx); err != nil {
			return failed(Write, d.dir, err)
		}
		d.data = append(d.data, p...)
		return nil
	})
	d.err = errors.Join(d.err, err)
	return err
}

// Commit implements storage.Draft.
func (d *draft) Commit(ctx context.Context, name string) error {
	switch {
	case d.err != nil:
		return failed(Put, name, d.err)
	case d.ended:
		return failed(Put, name, fs.ErrClosed)
	case !strings.HasPrefix(name, d.dir+"/"):
		return failed(Put, name, fmt.Errorf("%w: it was begun beneath %s", fs.ErrInvalid, d.dir))
	}
	d.ended = true
	return d.put(ctx, name, d.data)
}

// Discard implements storage.Draft.
func (d *draft) Discard() { d.ended = true }
