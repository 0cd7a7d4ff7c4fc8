package limit

import (
	"context"
	"os"
	"path/filepath"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

func (l *limit) restore(ctx context.Context) error {
	files, all, err := l.readNotes()
	if err != nil {
		return err
	}
	if err := l.makePlaces(files); err != nil {
		return err
	}
	into, err := openRoot(l.corpus)
	if err != nil {
		return err
	}
	defer into.Close()
	workers := runtime.GOMAXPROCS(0)
	packs := make([]*os.File, workers)
	for i := range packs {
		if packs[i], err = os.Open(l.pack("pack", i)); err != nil {
			return err
		}
		defer packs[i].Close()
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers))
	if err != nil {
		return err
	}
	defer decoder.Close()
	plain, sealed, hashers := buffers(), buffers(), hashers()
	err = inParallel(ctx, len(all), func(i, worker int) error {
		b := all[i]
		content := sealed[worker][:b.length]
		if _, err := packs[b.pack].ReadAt(content, b.offset); err != nil {
			return err
		}
		content, err := l.cipher.Open(content[:0], nonce(i), content, nil)
		if err != nil {
			return err
		}
		if b.packed {
			if content, err = decoder.DecodeAll(content, plain[worker][:0]); err != nil {
				return err
			}
		}
		hashers[worker].Hash(content)
		return into.write(files, b.parts, content)
	})
	if err != nil {
		return err
	}
	return unix.Syncfs(int(into.Fd()))
}

// makePlaces makes the directories, and the files that have holes in their length.
func (l *limit) makePlaces(files []found) error {
	if err := os.MkdirAll(l.corpus, 0o755); err != nil {
		return err
	}
	made := map[string]bool{}
	for _, file := range files {
		path := filepath.Join(l.corpus, file.path)
		if dir := filepath.Dir(path); !made[dir] {
			made[dir] = true
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		if !file.sparse {
			continue
		}
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		err = f.Truncate(file.size)
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}
