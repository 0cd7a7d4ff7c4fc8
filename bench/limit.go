package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"
)

// The limit does the unavoidable part of a backup and nothing else, on all cores:
//
//	first      read every byte, hash it, compress what can be, seal it, write it, fsync
//	unchanged  stat every file
//	next       stat every file, read and hash those that changed
//	restore    read, open, decompress, hash, write
//
// It finds no duplicates, keeps no names and could not be trusted with data: no
// backup program can be faster, and how near one comes is its quality.
type limit struct {
	cipher cipher.AEAD
	corpus string
	repo   string
}

// batchSize is how much data is handled as one: small files together, large ones in pieces.
const batchSize = 1 << 20

// A batch is a piece of the corpus and, once stored, its place.
type batch struct {
	Parts  []part
	Packed bool // by zstd
	Pack   int
	Offset int64
	Length int
}

// A part is a range of one file.
type part struct {
	Path   string
	Offset int64
	Length int
}

// runLimit is the command "limit STEP CORPUS REPO"; for restore, CORPUS is where
// the files go.
func runLimit(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("limit: want STEP CORPUS REPO, found %d arguments", len(args))
	}
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return err
	}
	sealer, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	l := &limit{cipher: sealer, corpus: args[1], repo: args[2]}
	switch args[0] {
	case "first":
		return l.first(ctx)
	case "unchanged":
		_, err := l.stat(ctx)
		return err
	case "next":
		return l.next(ctx)
	case "restore":
		return l.restore(ctx)
	}
	return fmt.Errorf("limit: unknown step %s", args[0])
}

// A found is a file of the corpus.
type found struct {
	path     string // relative
	size     int64
	modified time.Time
}

// stat lists all files of the corpus, directories in parallel.
func (l *limit) stat(ctx context.Context) ([]found, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var lock sync.Mutex
	var files []found
	var walk func(dir string) error
	walk = func(dir string) error {
		entries, err := os.ReadDir(filepath.Join(l.corpus, dir))
		if err != nil {
			return err
		}
		var here []found
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			if !entry.IsDir() {
				info, err := entry.Info()
				if err != nil {
					return err
				}
				here = append(here, found{path, info.Size(), info.ModTime()})
			} else if !group.TryGo(func() error { return walk(path) }) {
				if err := walk(path); err != nil {
					return err
				}
			}
		}
		lock.Lock()
		defer lock.Unlock()
		files = append(files, here...)
		return ctx.Err()
	}
	group.Go(func() error { return walk(".") })
	err := group.Wait()
	return files, err
}

// batches divides files into batches.
func batches(files []found) []batch {
	var all []batch
	var open batch
	room := batchSize
	flush := func() {
		if len(open.Parts) > 0 {
			all = append(all, open)
		}
		open, room = batch{}, batchSize
	}
	for _, file := range files {
		if len(open.Parts) > 0 && compressible(open.Parts[0].Path) != compressible(file.path) {
			flush()
		}
		for offset := int64(0); offset < file.size || file.size == 0; {
			length := int(min(int64(room), file.size-offset))
			open.Parts = append(open.Parts, part{file.path, offset, length})
			room -= length
			offset += int64(length)
			if room == 0 {
				flush()
			}
			if file.size == 0 {
				break
			}
		}
	}
	flush()
	return all
}

// compressible knows what the corpus is made of.
func compressible(path string) bool { return !strings.HasPrefix(path, "uploads/") }

func (l *limit) first(ctx context.Context) error {
	files, err := l.stat(ctx)
	if err != nil {
		return err
	}
	all := batches(files)
	packs := make([]*os.File, runtime.GOMAXPROCS(0))
	written := make([]int64, len(packs))
	encoders := make([]*zstd.Encoder, len(packs))
	for i := range packs {
		if packs[i], err = os.Create(l.pack(i)); err != nil {
			return err
		}
		defer packs[i].Close()
		if encoders[i], err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
			return err
		}
	}
	plain, packed := buffers(len(packs)), buffers(len(packs))
	err = inParallel(ctx, len(all), func(i, worker int) error {
		b := &all[i]
		content, err := l.read(plain[worker], b.Parts)
		if err != nil {
			return err
		}
		blake3.Sum256(content)
		if b.Packed = compressible(b.Parts[0].Path); b.Packed {
			content = encoders[worker].EncodeAll(content, packed[worker][:0])
		}
		sealed := l.cipher.Seal(content[:0], nonce(i), content, nil)
		b.Pack, b.Offset, b.Length = worker, written[worker], len(sealed)
		written[worker] += int64(len(sealed))
		_, err = packs[worker].Write(sealed)
		return err
	})
	if err != nil {
		return err
	}
	for _, pack := range packs {
		if err := pack.Sync(); err != nil {
			return err
		}
	}
	index, err := os.Create(l.index())
	if err != nil {
		return err
	}
	defer index.Close()
	if err := gob.NewEncoder(index).Encode(all); err != nil {
		return err
	}
	return index.Sync()
}

func (l *limit) next(ctx context.Context) error {
	index, err := os.Stat(l.index())
	if err != nil {
		return err
	}
	files, err := l.stat(ctx)
	if err != nil {
		return err
	}
	var changed []found
	for _, file := range files {
		if file.modified.After(index.ModTime()) {
			changed = append(changed, file)
		}
	}
	all, plain := batches(changed), buffers(runtime.GOMAXPROCS(0))
	return inParallel(ctx, len(all), func(i, worker int) error {
		content, err := l.read(plain[worker], all[i].Parts)
		blake3.Sum256(content)
		return err
	})
}

func (l *limit) restore(ctx context.Context) error {
	index, err := os.Open(l.index())
	if err != nil {
		return err
	}
	defer index.Close()
	var all []batch
	if err := gob.NewDecoder(index).Decode(&all); err != nil {
		return err
	}
	made := map[string]bool{}
	for _, b := range all {
		for _, p := range b.Parts {
			if dir := filepath.Dir(p.Path); !made[dir] {
				made[dir] = true
				if err := os.MkdirAll(filepath.Join(l.corpus, dir), 0o755); err != nil {
					return err
				}
			}
		}
	}
	workers := runtime.GOMAXPROCS(0)
	packs := make([]*os.File, workers)
	for i := range packs {
		if packs[i], err = os.Open(l.pack(i)); err != nil {
			return err
		}
		defer packs[i].Close()
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers))
	if err != nil {
		return err
	}
	defer decoder.Close()
	plain, sealed := buffers(workers), buffers(workers)
	return inParallel(ctx, len(all), func(i, worker int) error {
		b := all[i]
		content := sealed[worker][:b.Length]
		if _, err := packs[b.Pack].ReadAt(content, b.Offset); err != nil {
			return err
		}
		content, err := l.cipher.Open(content[:0], nonce(i), content, nil)
		if err != nil {
			return err
		}
		if b.Packed {
			if content, err = decoder.DecodeAll(content, plain[worker][:0]); err != nil {
				return err
			}
		}
		blake3.Sum256(content)
		return l.write(content, b.Parts)
	})
}

// read fills the start of buffer with the bytes of parts.
func (l *limit) read(buffer []byte, parts []part) ([]byte, error) {
	end := 0
	for _, p := range parts {
		file, err := os.Open(filepath.Join(l.corpus, p.Path))
		if err != nil {
			return nil, err
		}
		_, err = file.ReadAt(buffer[end:end+p.Length], p.Offset)
		file.Close()
		if err != nil && err != io.EOF {
			return nil, err
		}
		end += p.Length
	}
	return buffer[:end], nil
}

// write distributes content to the files of parts.
func (l *limit) write(content []byte, parts []part) error {
	for _, p := range parts {
		file, err := os.OpenFile(filepath.Join(l.corpus, p.Path), os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = file.WriteAt(content[:p.Length], p.Offset)
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
		content = content[p.Length:]
	}
	return nil
}

func (l *limit) pack(i int) string { return filepath.Join(l.repo, fmt.Sprintf("pack%d", i)) }
func (l *limit) index() string     { return filepath.Join(l.repo, "index") }

// buffers returns one buffer per worker, with room for what sealing adds.
func buffers(workers int) [][]byte {
	all := make([][]byte, workers)
	for i := range all {
		all[i] = make([]byte, batchSize+batchSize/8)
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
