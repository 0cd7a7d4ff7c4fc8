package storagetest

import (
	"cmp"
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
// in an order that a seed decides. A user may die. It works inside a synctest bubble
// only, whose clock it is that goes on: equal seeds give equal runs, as far as each
// user is one goroutine at a time.
//
//	synctest.Test(t, func(t *testing.T) {
//		turns := storagetest.NewTurns(state, seed)
//		turns.Go("writer", func(ctx context.Context, s storage.Storage) { … })
//		turns.Go("collector", …)
//		turns.Run()
//	})
//
// Most runs are ranked: who has the highest rank goes on, and falls to the lowest at
// a few points that are drawn beforehand. That finds an error which takes d orders of
// two operations with a probability of at least 1/(n·k^(d-1)), with n users and k
// operations, where drawing each turn would almost never let one user stand still
// while another does all it has to (Burckhardt, Kothari, Musuvathi, Nagarakatte: "A
// Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", 2010). A user
// that waits for the clock keeps its rank: if that is the highest, time passes. In the
// other runs every turn is drawn.
type Turns struct {
	// Settle is how long a listing may miss what was created, and show what was
	// deleted.
	Settle time.Duration
	// Deaths is how many users die at most, each in one of its operations.
	Deaths int

	state  *Memory
	random *rand.Rand
	ranked bool
	falls  map[int]bool  // numbers of the turns at which who has it falls; of those that count
	every  Op            // what counts as a turn at which one can fall
	pace   time.Duration // that passes with a turn at most
	turns  int           // that counted so far
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
	name  string
	turns *Turns
	rank  int // in a ranked run, who has the highest goes first
	dead  bool
	done  chan struct{}
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
	t := &Turns{state: state, random: random, ranked: random.IntN(4) > 0, falls: map[int]bool{}, every: Any,
		created: map[string]time.Time{}, deleted: map[string]removal{}}
	// How long a run will be is not known; most are over after 300 turns.
	length := []int{30, 100, 300}[random.IntN(3)]
	if random.IntN(2) == 0 {
		t.every, length = Changes|List, length/2
	}
	for range 1 + random.IntN(3) {
		t.falls[random.IntN(length)] = true
	}
	return t
}

// Go adds a user. It begins when Run does.
func (t *Turns) Go(name string, f func(context.Context, storage.Storage)) {
	u := &user{name: name, turns: t, rank: 1 + t.random.IntN(1<<30), done: make(chan struct{})}
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
	if t.Settle > 0 {
		t.pace = []time.Duration{0, t.Settle / 40, t.Settle / 4}[t.random.IntN(3)]
	}
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
		if t.pace > 0 {
			time.Sleep(time.Duration(t.random.Int64N(int64(t.pace))))
		}
		next.lets <- t.survives(next)
	}
}

func (t *Turns) finished() bool {
	return !slices.ContainsFunc(t.users, func(u *user) bool { return !u.ended() })
}

func (u *user) ended() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// choose takes one of the waiting turns: nil if time is to pass.
func (t *Turns) choose() *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		return nil
	}
	slices.SortFunc(t.waiting, func(a, b *turn) int {
		return cmp.Or(strings.Compare(a.user.name, b.user.name), strings.Compare(a.call.Name, b.call.Name), cmp.Compare(a.call.Op, b.call.Op))
	})
	for {
		i := t.random.IntN(len(t.waiting))
		if t.ranked {
			i = t.first()
		}
		if i < 0 {
			return nil
		}
		next := t.waiting[i]
		if t.ranked && t.fallsAt(next) {
			continue
		}
		t.waiting = slices.Delete(t.waiting, i, i+1)
		return next
	}
}

// first returns the place of a turn of whoever has the highest rank; -1 if that
// user waits for the clock.
func (t *Turns) first() int {
	var highest *user
	for _, u := range t.users {
		if !u.ended() && (highest == nil || u.rank > highest.rank) {
			highest = u
		}
	}
	return slices.IndexFunc(t.waiting, func(w *turn) bool { return w.user == highest })
}

// fallsAt counts a turn and reports whether its user falls to the lowest rank instead
// of having it.
func (t *Turns) fallsAt(next *turn) bool {
	if next.call.Op&t.every == 0 {
		return false
	}
	t.turns++
	if !t.falls[t.turns] {
		return false
	}
	next.user.rank = -t.turns
	return true
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
