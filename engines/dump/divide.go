package dump

import "context"

// Span is a part of a table: the rows whose key is not below From and below To; nil is
// no bound.
type Span[Key any] struct{ From, To *Key }

// Divider divides a table into spans of about so many rows, without knowing anything of
// its keys.
type Divider[Key any] struct {
	// After returns the key of the row that comes so many rows behind the first that is
	// not below from; nil behind the last. The server finds it in the key's index, which
	// takes a small part of what reading the rows takes.
	After func(ctx context.Context, lane int, from *Key, rows int64) (*Key, error)
	// Whole says that there is one span only.
	Whole bool

	from *Key
	done bool
}

// Next returns the next span; ok is false behind the last.
func (d *Divider[Key]) Next(ctx context.Context, lane int, rows int64) (s Span[Key], ok bool, err error) {
	if d.done {
		return s, false, nil
	}
	s.From = d.from
	if !d.Whole {
		if s.To, err = d.After(ctx, lane, s.From, rows); err != nil {
			return s, false, err
		}
	}
	d.from, d.done = s.To, s.To == nil
	return s, true, nil
}
