// Package limit does the unavoidable part of a backup and nothing else, on all
// cores, so that it can be said how near a backup program comes to it:
//
//	first      read every byte, hash it, compress what can be, seal it, write it, fsync
//	unchanged  stat every file
//	next       stat every file, read and hash those that changed; compress, seal,
//	           write and fsync the bytes that are new
//	restore    read, open, decompress, hash, write, sync the file system once
//
// It knows what no backup program knows: which files compress, and which bytes of
// a changed file are new (corpus.Days.News). It finds no duplicates, keeps no
// owners or times, and could not be trusted with data. What it has stored or
// restored is on the disk when it ends, as with Holdfast; not every tool can say
// that of a restore.
//
// By blob, it does what must be added so that each file can be found again by its
// content, and a storage be checked without a key: every file is hashed,
// compressed and sealed by itself instead of many small ones together, and what is
// stored is hashed once more. Still it finds nothing again: there are no cut points,
// no index, and no listings.
//
// Each step is a process of its own, as that of a tool is; what restore needs to
// know of first stands in notes beside the packs.
package limit

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/blake3"
)

type limit struct {
	cipher cipher.AEAD
	corpus string
	repo   string
	byBlob bool
}

// Run is the command "[by-blob] STEP CORPUS REPO": STEP is first, unchanged, next
// or restore. For restore, CORPUS is where the files go; next takes a third
// directory, of what is new.
func Run(ctx context.Context, args []string) error {
	byBlob := len(args) > 0 && args[0] == "by-blob"
	if byBlob {
		args = args[1:]
	}
	if len(args) < 3 || (args[0] == "next") != (len(args) == 4) {
		return fmt.Errorf("limit: want STEP CORPUS REPO, or next CORPUS REPO NEWS; found %d arguments", len(args))
	}
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return err
	}
	sealer, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	l := &limit{cipher: sealer, corpus: args[1], repo: args[2], byBlob: byBlob}
	switch args[0] {
	case "first":
		return l.first(ctx)
	case "unchanged":
		_, err := stat(ctx, l.corpus)
		return err
	case "next":
		return l.next(ctx, args[3])
	case "restore":
		return l.restore(ctx)
	}
	return fmt.Errorf("limit: unknown step %s", args[0])
}

func (l *limit) pack(name string, i int) string {
	return filepath.Join(l.repo, fmt.Sprintf("%s%d", name, i))
}
func (l *limit) notes() string { return filepath.Join(l.repo, "notes") }

// buffers returns one buffer per worker, with room for what sealing adds.
func buffers() [][]byte {
	all := make([][]byte, runtime.GOMAXPROCS(0))
	for i := range all {
		all[i] = make([]byte, batchSize+batchSize/8)
	}
	return all
}

// hashers returns one per worker.
func hashers() []*blake3.Hasher {
	all := make([]*blake3.Hasher, runtime.GOMAXPROCS(0))
	for i := range all {
		all[i] = blake3.New()
	}
	return all
}

func nonce(i int) []byte { return binary.BigEndian.AppendUint32(make([]byte, 8, 12), uint32(i)) }

// inParallel calls do for 0 ≤ i < n on all cores, telling it which worker it is.
func inParallel(ctx context.Context, n int, do func(i, worker int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	var taken atomic.Int64
	for worker := range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for i := int(taken.Add(1)) - 1; i < n; i = int(taken.Add(1)) - 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := do(i, worker); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}
