package sqlite

import (
	"context"
	"fmt"
)

// witness is a connection that reads nothing but how often others have committed:
// within its transaction the source would not see that.
type witness struct {
	db     *database
	marked int64 // PRAGMA data_version, a moment before the mark
}

// openWitness opens it while there is time.
func openWitness(ctx context.Context, source *database) (*witness, error) {
	db, err := openReader(ctx, source.path, source.patience)
	if err != nil {
		return nil, err
	}
	return &witness{db: db}, nil
}

func (w *witness) version(ctx context.Context) (v int64, err error) {
	err = w.db.one(ctx, &v, "PRAGMA data_version")
	return v, err
}

// mark remembers how things stand. w may be nil.
func (w *witness) mark(ctx context.Context) (err error) {
	if w != nil {
		w.marked, err = w.version(ctx)
	}
	return err
}

// close may be called on nil.
func (w *witness) close() error {
	if w == nil {
		return nil
	}
	return w.db.close()
}

// Moved says whether somebody has committed since the mark (snapshot's witness).
func (s *source) Moved(ctx context.Context) (_ string, err error) {
	defer s.name("look again at", &err)
	if s.witness == nil {
		return "", nil
	}
	now, err := s.witness.version(ctx)
	if err != nil || now == s.witness.marked {
		return "", err
	}
	return fmt.Sprintf("by another connection (data_version went from %d to %d)", s.witness.marked, now), nil
}
