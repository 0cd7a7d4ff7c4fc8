package dump

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"
)

// Table is what decides when a table is read, and by whom.
type Table struct {
	Size  int64 // in bytes, roughly
	Parts bool  // it is large, and can be read in parts
}

// EachTable has every table read: by one reader each, small ones first — what is
// often truncated is small, and is then done with — and at last those that can be
// read in parts, one after the other, by all readers together. read is told the
// readers, and the table's number.
func EachTable[Reader any](ctx context.Context, readers []Reader, tables []Table, read func(ctx context.Context, readers []Reader, table int) error) error {
	order := make([]int, len(tables))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(tables[a].Size, tables[b].Size) })
	queue := make(chan int, len(order))
	var large []int
	for _, i := range order {
		if tables[i].Parts {
			large = append(large, i)
		} else {
			queue <- i
		}
	}
	close(queue)
	group, each := errgroup.WithContext(ctx)
	for i := range readers {
		group.Go(func() error {
			for table := range queue {
				if each.Err() != nil {
					return context.Cause(each)
				}
				if err := read(each, readers[i:i+1], table); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, table := range large {
		if err := read(ctx, readers, table); err != nil {
			return err
		}
	}
	return nil
}
