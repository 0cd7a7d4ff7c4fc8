package repo

import (
	"context"
	"sync"

	"holdfast/repo/pack"
)

// packSize is where a pack is closed, in bytes.
const packSize = 8 << 20

// place puts a blob into a pack. What is read to walk a snapshot is put into two, so
// that one pack that is lost does not take a whole directory with it: into one with its
// like, and into one of contents.
func (w *Writer) place(ctx context.Context, c class, b pack.Blob, payload []byte) error {
	if err := w.packers[c].add(ctx, b, payload); err != nil || c != listings {
		return err
	}
	return w.packers[contents].add(ctx, b, payload)
}

// packer fills one pack after the other.
type packer struct {
	w       *Writer
	mu      sync.Mutex
	builder *pack.Builder // nil until there is a blob for the next pack
	upload  *upload       // nil until the pack has a part to write
}

func (p *packer) add(ctx context.Context, b pack.Blob, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.builder == nil {
		var err error
		if p.builder, err = p.w.uploads.builder(); err != nil {
			return err
		}
	}
	if err := p.builder.Add(b, payload); err != nil {
		return err
	}
	if p.builder.Size() >= packSize {
		return p.end(ctx)
	}
	if p.builder.Held() < partSize {
		return nil
	}
	if err := p.begin(ctx); err != nil {
		return err
	}
	return p.w.uploads.hand(ctx, p.upload, p.builder)
}

// begin needs mu, as the following do.
func (p *packer) begin(ctx context.Context) (err error) {
	if p.upload == nil {
		p.upload, err = p.w.uploads.begin(ctx)
	}
	return err
}

func (p *packer) end(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	full, upload := p.builder, p.upload
	p.builder, p.upload = nil, nil
	return p.w.uploads.end(upload, full)
}

func (p *packer) flush(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.builder == nil || p.builder.Count() == 0 {
		return nil
	}
	return p.end(ctx)
}
