package storagetest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"holdfast/internal/storage"
)

// Turns lets several users of one storage work at once, one operation at a time,
// in an order that a seed decides. Between two turns some time passes; a user may
// sleep for long, or die. It works inside a synctest bubble only, whose clock it is
// that goes on: equal seeds give equal runs, as far as each user is one goroutine
// at a time.
//
//	synctest.Test(t, func(t *testing.T) {
//		turns := storagetest.NewTurns(state, seed)
//		turns.Go("writer", func(ctx context.Context, s storage.Storage) { … })
//		turns.Go("collector", …)
//		turns.Run()
//	})
type Turns struct {
	// Settle is how long a listing may miss what was created, and show what was
	// deleted.
	Settle time.Duration
	// Deaths is how many users die at most, each in one of its operations.
	Deaths int

	state  *Memory
	random *rand.Rand
	ranked bool // else whose turn it is, is drawn each time
	users  []*user

	mu      sync.Mutex
	waiting []*turn
	created map[string]time.Time
	deleted map[string]removal
	trace   []string
}

type removal struct {
	at   time.Time
	size int64
}

// user is one of those who take turns.
type user struct {
	hooked
	name   string
	turns  *Turns
	asleep int // turns of others before its next one
	rank   int // in a ranked run, who has the highest goes first
	dead   bool
	done   chan struct{}
}

// turn is an operation that waits to be let through.
type turn struct {
	user *user
	call *Call
	lets chan bool // whether it happens
}

// NewTurns returns users' turns on a storage.
func NewTurns(state *Memory, seed uint64) *Turns {
	random := rand.New(rand.NewPCG(seed, 0))
	return &Turns{state: state, random: random, ranked: random.IntN(3) > 0, created: map[string]time.Time{}, deleted: map[string]removal{}}
}

// Go adds a user. It begins when Run does.
func (t *Turns) Go(name string, f func(context.Context, storage.Storage)) {
	u := &user{name: name, turns: t, rank: t.random.Int(), done: make(chan struct{})}
	u.hooked = hooked{inner: listing{t.state, t}, hook: u.pass}
	t.users = append(t.users, u)
	go func() {
		defer close(u.done)
		f(context.Background(), u)
	}()
}

// maxIdle is how often nobody may want to do anything before a run counts as hung.
const maxIdle = 10_000

// Run returns when all users have.
func (t *Turns) Run() {
	for idle := 0; !t.finished(); {
		synctest.Wait()
		next := t.choose()
		if next == nil {
			if idle++; idle == maxIdle {
				panic("all users wait for ever\n" + t.Trace())
			}
			time.Sleep(max(t.Settle/4, time.Second))
			continue
		}
		idle = 0
		if t.Settle > 0 {
			time.Sleep(time.Duration(t.random.Int64N(int64(t.Settle / 4))))
		}
		next.lets <- t.survives(next)
	}
}

func (t *Turns) finished() bool {
	for _, u := range t.users {
		select {
		case <-u.done:
		default:
			return false
		}
	}
	return true
}

// choose takes one of the waiting turns. Now and then a user falls asleep.
func (t *Turns) choose() *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		return nil
	}
	slices.SortFunc(t.waiting, func(a, b *turn) int {
		return strings.Compare(a.user.name+" "+a.call.Name+" "+a.call.Op.String(), b.user.name+" "+b.call.Name+" "+b.call.Op.String())
	})
	var awake []int
	for i, w := range t.waiting {
		if w.user.asleep > 0 {
			w.user.asleep--
		} else {
			awake = append(awake, i)
		}
	}
	i := t.random.IntN(len(t.waiting)) // if all sleep, somebody wakes up
	if len(awake) > 0 {
		i = awake[t.random.IntN(len(awake))]
	}
	if t.ranked {
		i = t.first(awake, i)
	}
	next := t.waiting[i]
	t.waiting = slices.Delete(t.waiting, i, i+1)
	next.user.asleep = 0
	if t.random.IntN(20) == 0 {
		next.user.asleep = t.random.IntN(150)
	}
	if t.random.IntN(150) == 0 {
		next.user.rank = t.random.Int()
	}
	return next
}

// first returns whose rank is the highest of those awake. One user then does much in
// a row while another stands still, which is what it takes for what they do to be
// interleaved in few, but far places.
func (t *Turns) first(awake []int, otherwise int) int {
	first := otherwise
	for _, i := range awake {
		if t.waiting[i].user.rank > t.waiting[first].user.rank {
			first = i
		}
	}
	return first
}

// survives decides whether the user of a turn goes on living.
func (t *Turns) survives(next *turn) bool {
	if !next.user.dead && t.Deaths > 0 && t.random.IntN(100) == 0 {
		t.Deaths--
		next.user.dead = true
		t.note(next.user.name + " dies")
		return t.random.IntN(2) == 0 // it may just not have learnt that its last act succeeded
	}
	return !next.user.dead
}

func (u *user) pass(_ context.Context, c *Call, do func() error) error {
	t := u.turns
	w := &turn{u, c, make(chan bool)}
	t.mu.Lock()
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	if !<-w.lets {
		return failed(c.Op, c.Name, ErrCrashed)
	}
	before, statError := t.state.Stat(context.Background(), c.Name)
	err := do()
	t.note(fmt.Sprintf("%s: %s %s %v", u.name, c.Op, c.Name, err))
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil:
	case c.Op == Put:
		t.created[c.Name] = time.Now()
	case c.Op == Delete && statError == nil:
		t.deleted[c.Name] = removal{time.Now(), before.Size}
	}
	if u.dead {
		return failed(c.Op, c.Name, ErrCrashed)
	}
	return err
}

func (t *Turns) note(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trace = append(t.trace, time.Now().Format("15:04:05.000 ")+line)
}

// Trace returns what happened, in order.
func (t *Turns) Trace() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.trace, "\n")
}

// listing is the storage with listings that may be stale.
type listing struct {
	*Memory
	turns *Turns
}

// List implements storage.Storage.
func (l listing) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	t := l.turns
	if t.Settle == 0 {
		return l.Memory.List(ctx, prefix)
	}
	return func(yield func(storage.Info, error) bool) {
		shown := map[string]int64{}
		for info, err := range l.Memory.List(ctx, prefix) {
			if err != nil {
				yield(info, err)
				return
			}
			if !t.young(t.created[info.Name]) || t.random.IntN(2) == 0 {
				shown[info.Name] = info.Size
			}
		}
		for _, name := range slices.Sorted(maps.Keys(t.deleted)) {
			if strings.HasPrefix(name, prefix+"/") && t.young(t.deleted[name].at) && t.random.IntN(2) == 0 {
				shown[name] = t.deleted[name].size
			}
		}
		for _, name := range slices.Sorted(maps.Keys(shown)) {
			if !yield(storage.Info{Name: name, Size: shown[name]}, nil) {
				return
			}
		}
	}
}

func (t *Turns) young(since time.Time) bool { return time.Since(since) < t.Settle }
