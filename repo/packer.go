package repo

import (
	"context"
	"sync"

	"holdfast/repo/pack"
)

// packSize is where a pack is closed, in bytes. A create holds three: one for each
// class that is filled, and one on its way.
const packSize = 8 << 20

// packer fills one pack after the other.
type packer struct {
	w       *Writer
	mu      sync.Mutex
	builder *pack.Builder
}

func (p *packer) add(ctx context.Context, b pack.Blob, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.builder == nil {
		var err error
		if p.builder, err = p.w.uploads.builder(p.w); err != nil {
			return err
		}
	}
	if err := p.builder.Add(b, payload); err != nil {
		return err
	}
	if p.builder.Size() < packSize {
		return nil
	}
	return p.send(ctx)
}

func (p *packer) flush(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.builder == nil || p.builder.Count() == 0 {
		return nil
	}
	return p.send(ctx)
}

// send needs mu.
func (p *packer) send(ctx context.Context) error {
	full := p.builder
	p.builder = nil
	return p.w.uploads.add(ctx, full)
}
