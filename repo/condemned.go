package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/seal"
)

// Condemned is a list under condemned/: what collections have decided, as far as
// it still matters. The one with the highest number counts. docs/gc.md is the
// protocol that it is part of.
type Condemned struct {
	Number uint64      `cbor:"-"` // 0: there is none yet
	At     time.Time   `cbor:"1,keyasint"`
	By     Name        `cbor:"2,keyasint"` // session of the collection that published it
	Groups []Group     `cbor:"3,keyasint,omitempty"`
	Purged []PurgedOne `cbor:"4,keyasint,omitempty"` // sorted by project, environment, first number
	Erased time.Time   `cbor:"5,keyasint"`           // when a collection has erased last
}

// Group is what one collection has condemned.
type Group struct {
	Number uint64     `cbor:"1,keyasint"` // of the list that it came with
	At     time.Time  `cbor:"2,keyasint"`
	State  GroupState `cbor:"3,keyasint"`
	Packs  [][32]byte `cbor:"4,keyasint,omitempty"` // sorted
	Dead   []Name     `cbor:"5,keyasint,omitempty"` // snapshots that were purged; sorted
	// Waits are the sessions that may have begun without knowing of the group, once
	// it is announced.
	Waits []Name `cbor:"6,keyasint,omitempty"`
	Bytes uint64 `cbor:"7,keyasint,omitempty"` // without what of the packs is needed, and was to be copied
}

// GroupState is how far a group has come.
type GroupState uint8

// The states of a group, in their order.
const (
	GroupCondemned GroupState = 1 // its Waits are not known yet
	GroupAnnounced GroupState = 2
	GroupSwept     GroupState = 3 // nothing needs its packs any more: they are to be deleted
)

// PurgedOne says that an environment's snapshots numbered First to Last are
// rightly gone.
type PurgedOne struct {
	_           struct{} `cbor:",toarray"`
	Project     string
	Environment string
	First, Last uint64
}

// PurgedSnapshot is PurgedOne of one snapshot.
func PurgedSnapshot(s *Snapshot) PurgedOne {
	return PurgedOne{Project: s.Project, Environment: s.Environment, First: s.Counter, Last: s.Counter}
}

// MaxCondemned bounds the packs in the groups of one list, so that it stays a record.
const MaxCondemned = 1 << 18

// ErrOvertaken: another collection has decided something in between.
var ErrOvertaken = errors.New("another collection was faster")

func condemnedObject(n uint64) string { return fmt.Sprintf("condemned/%08d", n) }

// Condemned reads the newest list; one of number 0 if there is none. Where something
// stands in a list's place nobody can tell which is the newest.
func (r *Repository) Condemned(ctx context.Context) (*Condemned, error) {
	if obstacles, err := Obstacles(ctx, r.store.Storage, "condemned"); err != nil {
		return nil, err
	} else if len(obstacles) > 0 {
		return nil, obstacles[0]
	}
	for {
		numbers, err := r.condemnedNumbers(ctx)
		if err != nil || len(numbers) == 0 {
			return &Condemned{}, err
		}
		c := &Condemned{Number: slices.Max(numbers)}
		object := condemnedObject(c.Number)
		err = r.read(ctx, seal.Condemned, object, c)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a newer one has taken its place
		}
		if err == nil {
			if err = c.validate(); err != nil {
				err = &DamagedError{Object: object, Err: err}
			}
		}
		return c, err
	}
}

func (r *Repository) condemnedNumbers(ctx context.Context) (numbers []uint64, err error) {
	for info, err := range r.store.List(ctx, "condemned") {
		if err != nil {
			return nil, fmt.Errorf("list condemned packs: %w", err)
		}
		digits := strings.TrimPrefix(info.Name, "condemned/")
		if n, err := strconv.ParseUint(digits, 10, 32); err == nil && info.Name == condemnedObject(n) {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// Publish makes c the newest list if its number is the next. ErrOvertaken if
// somebody else was faster: then nothing that c says counts.
func (r *Repository) Publish(ctx context.Context, c *Condemned) error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("publish %s: %w", condemnedObject(c.Number), err)
	}
	err := r.spareAll(ctx, seal.Condemned, condemnedObject(c.Number), c)
	if errors.Is(err, fs.ErrExist) {
		return ErrOvertaken
	}
	if err != nil {
		return err
	}
	// The number may have been used and removed while this process slept.
	numbers, err := r.condemnedNumbers(ctx)
	if err == nil && slices.Max(append(numbers, 0)) > c.Number {
		err = ErrOvertaken
	}
	return err
}

// DropCondemned removes the lists below a number, which newer ones have replaced.
func (r *Repository) DropCondemned(ctx context.Context, below uint64) error {
	numbers, err := r.condemnedNumbers(ctx)
	for _, n := range numbers {
		if n < below && err == nil {
			err = r.store.Delete(ctx, condemnedObject(n))
		}
	}
	return err
}

func (c *Condemned) validate() error {
	packs := 0
	for _, g := range c.Groups {
		packs += len(g.Packs)
		if g.State < GroupCondemned || g.State > GroupSwept || g.Number == 0 || g.Number > c.Number {
			return fmt.Errorf("group %d in state %d", g.Number, g.State)
		}
		if !slices.IsSortedFunc(g.Packs, comparePacks) || !slices.IsSortedFunc(g.Dead, compareNames) || !slices.IsSortedFunc(g.Waits, compareNames) {
			return fmt.Errorf("group %d is not in order", g.Number)
		}
	}
	if packs > MaxCondemned {
		return fmt.Errorf("%d condemned packs, more than %d", packs, MaxCondemned)
	}
	for _, p := range c.Purged {
		if p.First == 0 || p.Last < p.First {
			return fmt.Errorf("purged snapshots %d to %d", p.First, p.Last)
		}
	}
	return nil
}

// Packs returns the packs of all groups.
func (c *Condemned) Packs() map[[32]byte]bool {
	return c.PacksOf(func(*Group) bool { return true })
}

// Swept returns the packs of the swept groups: any of them may be gone.
func (c *Condemned) Swept() map[[32]byte]bool {
	return c.PacksOf(func(g *Group) bool { return g.State == GroupSwept })
}

// PacksOf returns the packs of the groups that are chosen.
func (c *Condemned) PacksOf(chosen func(*Group) bool) map[[32]byte]bool {
	packs := map[[32]byte]bool{}
	for i := range c.Groups {
		if g := &c.Groups[i]; chosen(g) {
			for _, p := range g.Packs {
				packs[p] = true
			}
		}
	}
	return packs
}

// Dead reports whether a snapshot is one of those that were purged.
func (c *Condemned) Dead(n Name) bool {
	return slices.ContainsFunc(c.Groups, func(g Group) bool {
		_, found := slices.BinarySearchFunc(g.Dead, n, compareNames)
		return found
	})
}

// AddPurged notes that snapshots are rightly gone.
func (c *Condemned) AddPurged(gone ...PurgedOne) {
	if len(gone) == 0 {
		return
	}
	c.Purged = append(slices.Clone(c.Purged), gone...)
	slices.SortFunc(c.Purged, func(a, b PurgedOne) int {
		if byLine := strings.Compare(a.Project+"\x00"+a.Environment, b.Project+"\x00"+b.Environment); byLine != 0 {
			return byLine
		}
		return int(min(a.First, 1<<62)) - int(min(b.First, 1<<62))
	})
	joined := c.Purged[:1]
	for _, p := range c.Purged[1:] {
		last := &joined[len(joined)-1]
		if p.Project == last.Project && p.Environment == last.Environment && p.First <= last.Last+1 {
			last.Last = max(last.Last, p.Last)
		} else {
			joined = append(joined, p)
		}
	}
	c.Purged = joined
}

func comparePacks(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }
func compareNames(a, b Name) int     { return bytes.Compare(a[:], b[:]) }
