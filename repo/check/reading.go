package check

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/time/rate"

	"holdfast/repo/pack"
)

// Part says which packs are read. Packs are taken in the order of their names,
// which are hashes.
type Part struct {
	All     bool
	Percent float64 // of the bytes, from where the run before has ended, round and round
	Of, In  uint64  // the part Of, from 1, of In parts of about the same size: always the same packs
}

// None reports whether no pack is read.
func (p Part) None() bool { return p == Part{} }

// ParsePart reads "5%" or "3/20".
func ParsePart(s string) (p Part, err error) {
	if number, ok := strings.CutSuffix(s, "%"); ok {
		p.Percent, err = strconv.ParseFloat(number, 64)
		if err == nil && p.Percent > 0 && p.Percent <= 100 {
			return p, nil
		}
	} else if of, in, ok := strings.Cut(s, "/"); ok {
		p.Of, err = strconv.ParseUint(of, 10, 16)
		if err == nil {
			p.In, err = strconv.ParseUint(in, 10, 16)
		}
		if err == nil && p.Of >= 1 && p.Of <= p.In {
			return p, nil
		}
	}
	return Part{}, fmt.Errorf("%q is no part; expected one such as 5%% or 3/20", s)
}

// reading is the packs of one run, and where it is.
type reading struct {
	part  Part
	file  string // of the position; "" keeps none
	limit *rate.Limiter
	at    position
	since int // packs that were read since it was kept
}

// position is what is kept between runs. A run that was interrupted goes on with what it
// had not read yet; what it had found damaged is read again, and told again. The packs are
// named, because others come meanwhile, which nobody has read, wherever they sort.
type position struct {
	Whole  []string `json:"whole,omitempty"`  // the packs that an interrupted run has read and found whole, by brief
	Subset string   `json:"subset,omitempty"` // the last pack that was read by percentage
}

// brief is enough of a pack's name to tell it from others.
func brief(name [32]byte) string { return hex.EncodeToString(name[:8]) }

func newReading(o Options) *reading {
	r := &reading{part: o.Part, file: o.Position}
	if o.ReadData {
		r.part = Part{All: true}
	}
	if o.Rate > 0 {
		r.limit = rate.NewLimiter(rate.Limit(o.Rate), pack.MaxSize)
		r.limit.ReserveN(o.Now(), pack.MaxSize) // no burst at first
	}
	if r.file != "" {
		if data, err := os.ReadFile(r.file); err == nil && json.Unmarshal(data, &r.at) != nil {
			r.at = position{} // nothing is lost but where it was
		}
	}
	return r
}

// choose returns the packs to read, and how many an earlier run has read already.
func (r *reading) choose(stored map[[32]byte]int64) (chosen [][32]byte, before int) {
	names := make([][32]byte, 0, len(stored))
	total := int64(0)
	for name, size := range stored {
		names, total = append(names, name), total+size
	}
	slices.SortFunc(names, comparePacks)
	switch {
	case r.part.All:
		read := map[string]bool{}
		for _, b := range r.at.Whole {
			read[b] = true
		}
		r.at.Whole = nil // but for those that are still there
		for _, name := range names {
			if b := brief(name); read[b] {
				r.at.Whole = append(r.at.Whole, b)
			} else {
				chosen = append(chosen, name)
			}
		}
		return chosen, len(r.at.Whole)
	case r.part.In > 0:
		for _, name := range names {
			if (uint64(name[0])<<8|uint64(name[1]))%r.part.In == r.part.Of-1 {
				chosen = append(chosen, name)
			}
		}
	case r.part.Percent > 0:
		budget := int64(float64(total) * r.part.Percent / 100)
		start, _ := slices.BinarySearchFunc(names, r.at.Subset, func(name [32]byte, after string) int {
			if hex.EncodeToString(name[:]) <= after {
				return -1
			}
			return 1
		})
		for _, name := range slices.Concat(names[start:], names[:start]) {
			if budget <= 0 {
				break
			}
			chosen, budget = append(chosen, name), budget-stored[name]
		}
	}
	return chosen, 0
}

// done notes that a pack was read.
func (r *reading) done(name [32]byte, damaged bool) {
	switch {
	case r.part.All && !damaged:
		r.at.Whole = append(r.at.Whole, brief(name))
	case r.part.Percent > 0:
		r.at.Subset = hex.EncodeToString(name[:])
	}
	// The longer the list, the rarer: what is written for it stays small beside what is read.
	if r.since++; r.since >= 64+len(r.at.Whole)/64 {
		r.keep()
	}
}

// finish forgets the position of a run that was not interrupted.
func (r *reading) finish() { r.at.Whole = nil }

// keep is best effort: without it the next run begins at the beginning.
func (r *reading) keep() {
	r.since = 0
	if r.file == "" {
		return
	}
	data, err := json.Marshal(r.at)
	if err != nil || os.MkdirAll(filepath.Dir(r.file), 0o700) != nil {
		return
	}
	next := r.file + ".new"
	if os.WriteFile(next, data, 0o600) == nil {
		_ = os.Rename(next, r.file) // best effort
	}
}

// wait lets n bytes pass at the rate that is set.
func (r *reading) wait(ctx context.Context, n int64) error {
	if r.limit == nil {
		return nil
	}
	return r.limit.WaitN(ctx, int(min(n, pack.MaxSize)))
}

func comparePacks(a, b [32]byte) int { return slices.Compare(a[:], b[:]) }
