package files

import "strings"

// touch says what of a directory has to be looked at again: a tree of names.
// Directories on the way to a name are looked at themselves, but nothing else
// in them.
type touch struct {
	all     bool // the directory and everything beneath it
	beneath map[string]*touch
}

// wholeTree is what a walk looks at that knows of no changes.
var wholeTree = &touch{all: true}

// child is what is to be looked at of name; nil if it is as it was, with all
// beneath it.
func (t *touch) child(name string) *touch {
	if t.all {
		return t
	}
	return t.beneath[name]
}

// join adds what is marked in o, which is not used any more.
func (t *touch) join(o *touch) {
	if t.all = t.all || o.all; t.all {
		return
	}
	if t.beneath == nil {
		t.beneath = o.beneath
		return
	}
	for name, below := range o.beneath {
		if own := t.beneath[name]; own != nil {
			own.join(below)
		} else {
			t.beneath[name] = below
		}
	}
}

// add marks the path beneath t, counted from it ("" is t itself), and returns
// how many names that is more.
func (t *touch) add(path string) (t2 *touch, more int) {
	for path != "" && !t.all {
		name, rest, _ := strings.Cut(path, "/")
		next := t.beneath[name]
		if next == nil {
			if t.beneath == nil {
				t.beneath = map[string]*touch{}
			}
			next = &touch{}
			t.beneath[name] = next
			more++
		}
		t, path = next, rest
	}
	return t, more
}
