package activity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lastNumber is what eight digits can count: with a heartbeat every 15 seconds,
// 47 years.
const lastNumber = 99_999_999

// numbered is a series of objects, prefix/00000001 and so on.
type numbered struct {
	objects Objects
	prefix  string
}

func (s numbered) name(n uint64) string { return fmt.Sprintf("%s/%08d", s.prefix, n) }

// parse returns the number in name, and false where it is none of the series.
func (s numbered) parse(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, s.prefix+"/")
	if !ok || len(digits) != 8 || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > 0
}

func (s numbered) create(ctx context.Context, n uint64, data []byte) error {
	if n > lastNumber {
		return fmt.Errorf("create %s: all numbers up to %d are used; remove the older objects", s.prefix, lastNumber)
	}
	return s.objects.Create(ctx, s.name(n), data)
}

// list returns the numbers that exist, ascending.
func (s numbered) list(ctx context.Context) ([]uint64, error) {
	var numbers []uint64
	for name, err := range s.objects.List(ctx, s.prefix) {
		if err != nil {
			return nil, err
		}
		if n, ok := s.parse(name); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// newest returns the highest number with its object; 0 where there is none. Where the
// object cannot be read it returns the number with the error.
func (s numbered) newest(ctx context.Context) (uint64, []byte, error) {
	var gone error
	for range 10 {
		numbers, err := s.list(ctx)
		if err != nil || len(numbers) == 0 {
			return 0, nil, err
		}
		n := numbers[len(numbers)-1]
		data, err := s.objects.Read(ctx, s.name(n))
		if err == nil {
			return n, data, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return n, nil, err
		}
		gone = err // superseded and removed since it was listed: look again
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return 0, nil, err
		}
	}
	return 0, nil, gone
}

// sleep returns the context's cause when it ends before d is over.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
