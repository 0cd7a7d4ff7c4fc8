package gc_test

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/storage"
)

// fault is a rule of docs/gc.md that somebody does not follow. What makes him break
// it lies between him and the storage, so the code is the one that is used.
type fault struct {
	rule    string
	hurries bool // collectors do not wait for listings to settle
	breaks  func(p *play, role string, s storage.Storage) storage.Storage
}

// bent is a storage that some operations are bent of.
type bent struct {
	storage.Storage
	put  func(ctx context.Context, name string, data []byte) error
	list func(ctx context.Context, prefix string) iter.Seq2[storage.Info, error]
}

func (b bent) Put(ctx context.Context, name string, data []byte) error {
	if b.put == nil {
		return b.Storage.Put(ctx, name, data)
	}
	return b.put(ctx, name, data)
}

func (b bent) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	if b.list == nil {
		return b.Storage.List(ctx, prefix)
	}
	return b.list(ctx, prefix)
}

func nothing(func(storage.Info, error) bool) {}

var faults = []fault{
	{rule: "W1: a session is announced first", breaks: func(_ *play, role string, s storage.Storage) storage.Storage {
		if role != writer {
			return s
		}
		var mu sync.Mutex
		late := map[string][]byte{}
		return bent{Storage: s, put: func(ctx context.Context, name string, data []byte) error {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasPrefix(name, "sessions/") {
				late[name] = data
				return nil
			}
			for name, data := range late {
				if err := s.Put(ctx, name, data); err != nil {
					return err
				}
				delete(late, name)
			}
			return s.Put(ctx, name, data)
		}}
	}},
	{rule: "W2: a writer reads what is condemned", breaks: func(_ *play, role string, s storage.Storage) storage.Storage {
		if role != writer {
			return s
		}
		return bent{Storage: s, list: func(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
			if prefix == "condemned" {
				return nothing
			}
			return s.List(ctx, prefix)
		}}
	}},
	{rule: "W7: a session that was ended does not commit", breaks: replacing(writer, "snapshots/")},
	{rule: "G4: the sessions that are open are waited for", breaks: func(_ *play, role string, s storage.Storage) storage.Storage {
		if role != collector {
			return s
		}
		published := false // and sessions not listed since
		return bent{s, func(ctx context.Context, name string, data []byte) error {
			published = published || strings.HasPrefix(name, "condemned/")
			return s.Put(ctx, name, data)
		}, func(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
			if prefix == "sessions" && published {
				published = false
				return nothing
			}
			return s.List(ctx, prefix)
		}}
	}},
	{rule: "G6: snapshots are listed after the sessions", breaks: func(_ *play, role string, s storage.Storage) storage.Storage {
		if role != collector {
			return s
		}
		var known []storage.Info
		return bent{Storage: s, list: func(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
			if prefix != "snapshots" {
				return s.List(ctx, prefix)
			}
			return func(yield func(storage.Info, error) bool) {
				if known == nil {
					for info, err := range s.List(ctx, prefix) {
						if err != nil {
							yield(info, err)
							return
						}
						known = append(known, info)
					}
				}
				for _, info := range known {
					if !yield(info, nil) {
						return
					}
				}
			}
		}}
	}},
	{rule: "settle: what others see late is waited for", hurries: true},
	{rule: "of an undelete and a purge one loses", breaks: replacing("", "trash/")},
}

// replacing lets those of a role, or all, replace objects beneath a folder.
func replacing(whose, folder string) func(*play, string, storage.Storage) storage.Storage {
	return func(p *play, role string, s storage.Storage) storage.Storage {
		if whose != "" && role != whose {
			return s
		}
		return bent{Storage: s, put: func(ctx context.Context, name string, data []byte) error {
			err := s.Put(ctx, name, data)
			if strings.HasPrefix(name, folder) && errors.Is(err, fs.ErrExist) {
				p.state.Replace(name, data)
				err = nil
			}
			return err
		}}
	}
}

// TestEveryPlantedFaultIsFound plays with somebody who breaks a rule, until that
// has lost something for good: what TestAnyOrder plays finds it soon enough.
func TestEveryPlantedFaultIsFound(t *testing.T) {
	inMemory(t)
	prepared := before(t)
	for i := range faults {
		t.Run(faults[i].rule, func(t *testing.T) {
			t.Parallel()
			const most = 30_000
			lost := ""
			seed := uint64(0)
			for lost == "" && seed < most {
				seed++
				synctest.Test(t, func(t *testing.T) {
					p := prepared.again(t, seed)
					p.fault = &faults[i]
					p.perform(time.Duration(seed%2) * time.Minute)
					p.mustHold("")
					if len(p.losses) > 0 {
						lost = p.losses[0]
					}
				})
			}
			if lost == "" {
				t.Errorf("not following the rule lost nothing in %d plays", most)
			}
			t.Logf("play %d%s", seed, lost)
			t.Attr("cases", strconv.FormatUint(seed, 10))
		})
	}
}
