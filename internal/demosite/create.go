package demosite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// Options say how large a new site is.
type Options struct {
	Seed uint64
	// Scale 1, which 0 means too, is about 110,000 rows in 45 MB and 240 uploads
	// in 90 MB.
	Scale float64
}

// batchRows is how many rows of a new site are one change.
const batchRows = 500

// Create makes a site in dir, which must not have one yet, and opens it. The
// caller closes it.
func Create(ctx context.Context, dir string, o Options) (*Site, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, path := range []string{In(dir).Database, HistoryFile(dir)} {
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("create a site in %s: %s exists already", dir, path)
		}
	}
	s, err := Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := s.populate(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("create a site in %s: %w", dir, err), s.Close())
	}
	return s, nil
}

// populate fills an empty database.
func (s *Site) populate(ctx context.Context, o Options) error {
	for _, statement := range schema() {
		if _, err := s.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	scaled := func(n int) int { return max(4, int(float64(n)*o.Scale)) }
	w := newWriter(o.Seed, "create")
	users, articles, products := scaled(3000), scaled(3200), scaled(300)
	anyOf := func(n int) int64 { return 1 + w.Int64N(int64(n)) }
	steps := []struct {
		rows int
		make func(t *transaction, id int64) error
	}{
		{users, func(t *transaction, id int64) error {
			name := w.name()
			return t.put("users", id, name, fmt.Sprintf("%s.%d@shop.example", name, id))
		}},
		{articles, func(t *transaction, id int64) error {
			return t.put("articles", id, anyOf(users), w.title(), w.prose(1000, 12_000), t.change.Seq)
		}},
		{scaled(60_000), func(t *transaction, id int64) error {
			return t.put("comments", id, anyOf(articles), anyOf(users), w.prose(60, 400), t.change.Seq)
		}},
		{products, func(t *transaction, id int64) error {
			return t.put("products", id, w.title(), int64(1_000_000), int64(1_000_000))
		}},
		{scaled(40_000), func(t *transaction, _ int64) error {
			_, err := t.sell(anyOf(users), anyOf(products), 1+w.Int64N(3))
			return err
		}},
	}
	for _, step := range steps {
		if err := s.inBatches(ctx, step.rows, step.make); err != nil {
			return err
		}
	}
	for range scaled(240) {
		if _, err := s.upload(ctx, anyOf(users), w.photo(60_000, 700_000)); err != nil {
			return err
		}
	}
	return nil
}

// inBatches calls do for the ids 1 to n, many in one change.
func (s *Site) inBatches(ctx context.Context, n int, do func(t *transaction, id int64) error) error {
	for done := 0; done < n; done += batchRows {
		_, err := s.commit(ctx, func(t *transaction) error {
			for id := done + 1; id <= min(done+batchRows, n); id++ {
				if err := do(t, int64(id)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Changed counts what Change did.
type Changed struct{ Edited, Commented, Withdrawn, Ordered, Uploaded int }

// Change is a day's work on the site: of its articles share (0.01 for 1 %) are
// edited, and it gains as large a share of comments, orders and uploads, and
// loses a tenth of that share of its comments.
func (s *Site) Change(ctx context.Context, share float64, seed uint64) (Changed, error) {
	counts, err := s.counts(ctx)
	if err != nil {
		return Changed{}, err
	}
	w := newWriter(seed, "change")
	anyOf := func(table string) int64 { return 1 + w.Int64N(counts[table]) }
	part := func(table string, share float64) int { return max(1, int(float64(counts[table])*share+0.5)) }
	done := Changed{
		Edited: part("articles", share), Commented: part("comments", share), Withdrawn: part("comments", share/10),
		Ordered: part("orders", share), Uploaded: part("uploads", share),
	}
	for _, step := range []struct {
		times int
		do    func() error
	}{
		{done.Edited, func() error { return s.edit(ctx, anyOf("articles"), w.prose(1000, 12_000)) }},
		{done.Commented, func() error {
			_, err := s.comment(ctx, anyOf("articles"), anyOf("users"), w.prose(60, 400))
			return err
		}},
		{done.Withdrawn, func() error {
			err := s.withdraw(ctx, anyOf("comments"))
			if errors.Is(err, errNoSuchRow) { // it was withdrawn before
				return nil
			}
			return err
		}},
		{done.Ordered, func() error {
			_, err := s.order(ctx, anyOf("users"), anyOf("products"), 1)
			return err
		}},
		{done.Uploaded, func() error {
			_, err := s.upload(ctx, anyOf("users"), w.photo(60_000, 700_000))
			return err
		}},
	} {
		for range step.times {
			if err := step.do(); err != nil {
				return Changed{}, fmt.Errorf("change the site: %w", err)
			}
		}
	}
	return done, nil
}

// counts returns the largest id of each table.
func (s *Site) counts(ctx context.Context) (map[string]int64, error) {
	counts := map[string]int64{}
	for _, t := range tables {
		var id int64
		if err := s.db.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM "+t.name).Scan(&id); err != nil {
			return nil, err
		}
		counts[t.name] = id
	}
	return counts, nil
}

// A writer makes up what stands on the site, the same for the same seed.
type writer struct{ *rand.Rand }

// newWriter returns a writer for one purpose.
func newWriter(seed uint64, purpose string) writer {
	var key [32]byte
	copy(key[:], fmt.Sprintf("%016x%s", seed, purpose))
	return writer{rand.New(rand.NewChaCha8(key))}
}

// prose returns sentences of at least low and about at most high bytes.
func (w writer) prose(low, high int) string {
	var text []byte
	for size := low + w.IntN(high-low); len(text) < size; {
		start := len(text)
		for range 4 + w.IntN(12) {
			text = append(append(text, words[w.IntN(len(words))]...), ' ')
		}
		text[start] -= 'a' - 'A'
		text = append(text[:len(text)-1], ". "...)
	}
	return string(text)
}

func (w writer) title() string {
	return words[w.IntN(len(words))] + " " + words[w.IntN(len(words))] + " " + words[w.IntN(len(words))]
}

func (w writer) name() string { return words[w.IntN(len(words))] }

// photo returns incompressible bytes, as many as a photograph has.
func (w writer) photo(low, high int) io.Reader {
	var key [32]byte
	for i := range key {
		key[i] = byte(w.Uint32())
	}
	return io.LimitReader(rand.NewChaCha8(key), int64(low+w.IntN(high-low)))
}
