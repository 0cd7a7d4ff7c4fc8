package files

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// room is what a filesystem has left, or a tree takes up.
type room struct {
	bytes  uint64
	inodes uint64
	block  uint64
}

// freeRoom returns what is left at path, or where path will be, for others than
// root; inodes is 0 where a filesystem does not count them.
func freeRoom(path string) (room, error) {
	var fs unix.Statfs_t
	at := path
	err := unix.Statfs(at, &fs)
	for err == unix.ENOENT && at != filepath.Dir(at) {
		at = filepath.Dir(at)
		err = unix.Statfs(at, &fs)
	}
	if err != nil {
		return room{}, fmt.Errorf("free space at %s: %w", path, err)
	}
	block := uint64(max(fs.Frsize, 1))
	if fs.Frsize == 0 {
		block = uint64(max(fs.Bsize, 1))
	}
	return room{bytes: fs.Bavail * block, inodes: fs.Ffree, block: block}, nil
}

// checkRoom compares what entries will take up with what is free at path, or
// where path will be. Where the sum of all sizes fits there is nothing to count;
// else holes are left out and hard links counted once.
func checkRoom(ctx context.Context, path string, entries []tree.Entry, content engines.Content) error {
	free, err := freeRoom(path)
	if err != nil {
		return err
	}
	var most room
	for i := range entries {
		most.inodes += 1 + entries[i].Entries
		most.bytes += entries[i].Size + (1+entries[i].Entries)*2*free.block
	}
	if most.fits(free) {
		return nil
	}
	n := &need{ctx: ctx, content: content, block: free.block}
	for i := range entries {
		n.links = map[uint64]bool{} // each service has its own
		if err := n.add(&entries[i], 0); err != nil {
			return err
		}
	}
	switch {
	case n.sum.fits(free):
		return nil
	case n.sum.bytes > free.bytes:
		return fmt.Errorf("too little room at %s: %s are needed beside the current data and %s are free; nothing was changed", path, humanize.IBytes(n.sum.bytes), humanize.IBytes(free.bytes))
	}
	return fmt.Errorf("too little room at %s: %d inodes are needed beside the current data and %d are free; nothing was changed", path, n.sum.inodes, free.inodes)
}

func (r room) fits(free room) bool {
	return r.bytes <= free.bytes && (free.inodes == 0 || r.inodes <= free.inodes)
}

// need adds up what a tree takes on disk.
type need struct {
	ctx     context.Context
	content engines.Content
	block   uint64
	links   map[uint64]bool
	sum     room
}

func (n *need) add(e *tree.Entry, depth int) error {
	if e.Link != 0 && e.Type != tree.Directory {
		if n.links[e.Link] {
			return nil
		}
		n.links[e.Link] = true
	}
	n.sum.inodes++
	switch e.Type {
	case tree.File:
		stored := e.Content.Size()
		n.sum.bytes += (stored + n.block - 1) / n.block * n.block
		return nil
	case tree.Directory:
		n.sum.bytes += n.block
	default:
		return nil
	}
	if depth > maxDepth {
		return fmt.Errorf("%q lies more than %d directories deep: %w", e.Name, maxDepth, tree.ErrInvalid)
	}
	for child, err := range n.content.Children(n.ctx, *e) {
		if err == nil {
			err = n.add(&child, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
