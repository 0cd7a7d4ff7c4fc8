package limit

import (
	"context"
	"os"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"holdfast/internal/blake3"
)

// writeBehind is how many bytes are written before the disk is told to begin with
// them, so that it works while the cores do.
const writeBehind = 8 << 20

// A storer stores batches, one pack per worker.
type storer struct {
	*limit
	packs    []*os.File
	written  []int64 // bytes, by pack
	started  []int64 // of them that the disk was told to write
	encoders []*zstd.Encoder
	plain    [][]byte
	packed   [][]byte
	hashers  []*blake3.Hasher
	names    []*blake3.Hasher // by blob, one of each pack
}

func (l *limit) newStorer(name string) (*storer, error) {
	workers := runtime.GOMAXPROCS(0)
	s := &storer{limit: l, written: make([]int64, workers), started: make([]int64, workers), plain: buffers(), packed: buffers(), hashers: hashers()}
	for i := range workers {
		pack, err := os.Create(l.pack(name, i))
		if err != nil {
			return nil, err
		}
		s.packs = append(s.packs, pack)
		s.names = append(s.names, blake3.New())
		encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		s.encoders = append(s.encoders, encoder)
	}
	return s, nil
}

// store reads, hashes, compresses, seals and writes the batches of files, notes
// their places in them, and returns when all is on the disk.
func (s *storer) store(ctx context.Context, dir string, files []found, all []batch) error {
	from, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer from.Close()
	err = inParallel(ctx, len(all), func(i, worker int) error {
		b := &all[i]
		content, err := from.read(files, b.parts, s.plain[worker])
		if err != nil {
			return err
		}
		s.hashers[worker].Hash(content)
		if b.packed {
			content = s.encoders[worker].EncodeAll(content, s.packed[worker][:0])
		}
		sealed := s.cipher.Seal(content[:0], nonce(i), content, nil)
		b.pack, b.offset, b.length = worker, s.written[worker], len(sealed)
		return s.write(worker, sealed)
	})
	if err != nil {
		return err
	}
	return inParallel(ctx, len(s.packs), func(i, _ int) error { return syncAndClose(s.packs[i]) })
}

func (s *storer) write(worker int, sealed []byte) error {
	if _, err := s.packs[worker].Write(sealed); err != nil {
		return err
	}
	if s.byBlob {
		s.names[worker].Write(sealed) // never fails
	}
	s.written[worker] += int64(len(sealed))
	open := s.written[worker] - s.started[worker]
	if open < writeBehind {
		return nil
	}
	err := unix.SyncFileRange(int(s.packs[worker].Fd()), s.started[worker], open, unix.SYNC_FILE_RANGE_WRITE)
	s.started[worker] = s.written[worker]
	return err
}

// syncAndClose ends a file that must survive.
func syncAndClose(file *os.File) error {
	if err := file.Sync(); err != nil {
		return err
	}
	return file.Close()
}

func (l *limit) first(ctx context.Context) error {
	files, err := stat(ctx, l.corpus)
	if err != nil {
		return err
	}
	all, err := l.batches(l.corpus, files)
	if err != nil {
		return err
	}
	s, err := l.newStorer("pack")
	if err != nil {
		return err
	}
	if err := s.store(ctx, l.corpus, files, all); err != nil {
		return err
	}
	return l.writeNotes(files, all)
}

func (l *limit) next(ctx context.Context, news string) error {
	notes, err := os.Stat(l.notes())
	if err != nil {
		return err
	}
	files, err := stat(ctx, l.corpus)
	if err != nil {
		return err
	}
	var changed []found
	for _, file := range files {
		if file.modified.After(notes.ModTime()) {
			changed = append(changed, file)
		}
	}
	old, err := l.batches(l.corpus, changed)
	if err != nil {
		return err
	}
	from, err := openRoot(l.corpus)
	if err != nil {
		return err
	}
	defer from.Close()
	plain, hashers := buffers(), hashers()
	err = inParallel(ctx, len(old), func(i, worker int) error {
		content, err := from.read(changed, old[i].parts, plain[worker])
		hashers[worker].Hash(content)
		return err
	})
	if err != nil {
		return err
	}
	fresh, err := stat(ctx, news)
	if err != nil {
		return err
	}
	all, err := l.batches(news, fresh)
	if err != nil {
		return err
	}
	s, err := l.newStorer("news")
	if err != nil {
		return err
	}
	return s.store(ctx, news, fresh, all)
}
