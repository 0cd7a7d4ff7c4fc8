package dump

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"
)

// EachTable has readers read tables, small ones first: what is often truncated is
// small, and is then done with. sizes are those of the tables, in any unit; read is
// told by their numbers which reader is to read which table.
func EachTable(ctx context.Context, readers int, sizes []int64, read func(ctx context.Context, reader, table int) error) error {
	order := make([]int, len(sizes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sizes[a], sizes[b]) })
	queue := make(chan int, len(order))
	for _, i := range order {
		queue <- i
	}
	close(queue)
	group, ctx := errgroup.WithContext(ctx)
	for reader := range readers {
		group.Go(func() error {
			for table := range queue {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := read(ctx, reader, table); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}
