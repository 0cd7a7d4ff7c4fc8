package storage

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// traced notes when it is closed.
type traced struct {
	name   string
	closed *[]string
}

func (v traced) Close() error {
	*v.closed = append(*v.closed, v.name)
	return nil
}

func TestCache(t *testing.T) {
	var opened, closed []string
	open := func(key string) (traced, error) {
		opened = append(opened, key)
		return traced{key, &closed}, nil
	}
	c := newCache[traced](2)
	get := func(key string) *handle[traced] {
		t.Helper()
		h, err := c.get(key, open)
		if err != nil || h.value.name != key {
			t.Fatalf("get %s: %+v, %v", key, h, err)
		}
		return h
	}
	expect := func(when, wantOpened, wantClosed string) {
		t.Helper()
		if o, cl := strings.Join(opened, ""), strings.Join(closed, ""); o != wantOpened || cl != wantClosed {
			t.Errorf("%s: opened %s, closed %s; want %s, %s", when, o, cl, wantOpened, wantClosed)
		}
	}

	a := get("a")
	c.release(get("a"))
	expect("the same twice", "a", "")
	c.release(get("b"))
	c.release(get("a"))
	c.release(get("c"))
	expect("the least recently used goes", "abc", "b")
	c.drop("a")
	expect("what is in use stays open", "abc", "b")
	again := get("a")
	c.release(a)
	expect("a dropped value is closed by its last user, and opened anew", "abca", "ba")
	c.close()
	expect("closing closes what nobody uses", "abca", "bac")
	c.release(again)
	expect("and the rest on release", "abca", "baca")
	if _, err := c.get("a", open); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("get after close: %v", err)
	}
}

func TestCacheOpensAnewAfterFailure(t *testing.T) {
	c := newCache[traced](2)
	broken := errors.New("broken")
	if _, err := c.get("a", func(string) (traced, error) { return traced{}, broken }); err != broken {
		t.Fatal(err)
	}
	var closed []string
	if _, err := c.get("a", func(string) (traced, error) { return traced{"a", &closed}, nil }); err != nil {
		t.Fatal(err)
	}
}

// Two that open the same at once end up with the same value.
func TestCacheRace(t *testing.T) {
	c := newCache[traced](2)
	var closed []string
	var inner *handle[traced]
	outer, err := c.get("a", func(string) (traced, error) {
		var err error
		inner, err = c.get("a", func(string) (traced, error) { return traced{"first", &closed}, nil })
		return traced{"second", &closed}, err
	})
	if err != nil || outer != inner || outer.value.name != "first" || len(closed) != 1 || closed[0] != "second" {
		t.Errorf("got %+v and %+v, closed %q, %v", outer, inner, closed, err)
	}
}
