package repo

import (
	"context"
	"sync"

	"holdfast/internal/blob"
	"holdfast/internal/tree"
)

// job is one chunk on its way to a blob.
type job struct {
	class class
	grain Grain
	block *block // that data lies in, released when the job is done; or nil
	data  []byte
	base  *base    // of its stream, or nil
	like  likeness // of the chunk there
	ref   tree.Ref
	done  chan struct{} // one token when ref is set
	pool  *sync.Pool    // of the writer
}

func (w *Writer) newJob() *job {
	if j, ok := w.spare.Get().(*job); ok {
		return j
	}
	return &job{done: make(chan struct{}, 1), pool: &w.spare}
}

// free lets somebody else use j.
func (j *job) free() {
	*j = job{done: j.done, pool: j.pool}
	j.pool.Put(j)
}

// work stores what is submitted until the jobs end. Leaving early leaves jobs
// unanswered: whoever waits for them watches the same context, which has ended
// then.
func (w *Writer) work(ctx context.Context) error {
	for {
		select {
		case j, ok := <-w.jobs:
			if !ok {
				return nil
			}
			if err := w.store(ctx, j); err != nil {
				return err
			}
			j.done <- struct{}{}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// submit lets somebody else store j's chunk; wait tells the outcome.
func (w *Writer) submit(ctx context.Context, j *job) error {
	select {
	case w.jobs <- j:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wait returns the ref of a job that was submitted. j is nobody's afterwards.
func (j *job) wait(ctx context.Context) (tree.Ref, error) {
	select {
	case <-j.done:
		ref := j.ref
		j.free()
		return ref, nil
	case <-ctx.Done():
		return tree.Ref{}, context.Cause(ctx)
	}
}

// store stores j's chunk here and now, as soon as a worker is idle: as many are
// at work as there are processors, whoever called them.
func (w *Writer) store(ctx context.Context, j *job) error {
	select {
	case k := <-w.idle:
		err := k.store(ctx, j)
		w.idle <- k
		if j.block != nil {
			j.block.release()
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// putBlob stores one blob.
func (w *Writer) putBlob(ctx context.Context, c class, data []byte) (blob.ID, error) {
	j := w.newJob()
	defer j.free()
	j.class, j.grain, j.data = c, Coarse, data
	err := w.store(ctx, j)
	return j.ref.ID, err
}
