package tree

import "fmt"

// The keys of an entry, in docs/format.md and in the tags of Entry.
const (
	keyName = 1 + iota
	keyType
	keyMode
	keyUID
	keyGID
	keyUser
	keyGroup
	keyMTime
	keyCTime
	keyInode
	keyLink
	keyDevice
	keyTarget
	keyXattrs
	keySize
	keyHoles
	keyContent
	keyEntries
	keySuspect
)

// required are the keys that stand in every entry; the others are left out where
// their value is zero or empty.
const required = 1<<keyName | 1<<keyType | 1<<keyMTime | 1<<keyCTime | 1<<keyContent

// maxItems bounds the attributes and the holes of one entry.
const maxItems = 1 << 16

// appendEntry appends e, which is valid, as a CBOR map.
func appendEntry(dst []byte, e *Entry) []byte {
	w := mapWriter{out: append(dst, 0), at: len(dst)}
	w.bytes(keyName, e.Name)
	w.uint(keyType, uint64(e.Type))
	w.optional(keyMode, uint64(e.Mode))
	w.optional(keyUID, uint64(e.UID))
	w.optional(keyGID, uint64(e.GID))
	w.optionalBytes(keyUser, e.User)
	w.optionalBytes(keyGroup, e.Group)
	w.time(keyMTime, e.MTime)
	w.time(keyCTime, e.CTime)
	w.optional(keyInode, e.Inode)
	w.optional(keyLink, e.Link)
	w.optional(keyDevice, e.Device)
	w.optionalBytes(keyTarget, e.Target)
	if len(e.Xattrs) > 0 {
		w.key(keyXattrs)
		w.out = appendHead(w.out, majorArray, uint64(len(e.Xattrs)))
		for _, x := range e.Xattrs {
			w.out = appendHead(w.out, majorArray, 2)
			w.out = appendBytes(w.out, x.Name)
			w.out = appendBytes(w.out, x.Value)
		}
	}
	w.optional(keySize, e.Size)
	if len(e.Holes) > 0 {
		w.key(keyHoles)
		w.out = appendHead(w.out, majorArray, uint64(len(e.Holes)))
		for _, h := range e.Holes {
			w.out = appendHead(w.out, majorArray, 2)
			w.out = appendHead(w.out, majorUint, h.Offset)
			w.out = appendHead(w.out, majorUint, h.Length)
		}
	}
	w.key(keyContent)
	if len(e.Content.Refs) == 0 {
		w.out = append(w.out, null)
	} else {
		w.out = appendHead(w.out, majorBytes, uint64(len(e.Content.Refs)*refSize))
		w.out = AppendRefs(w.out, e.Content.Refs)
	}
	w.optional(keyEntries, e.Entries)
	if e.Suspect {
		w.key(keySuspect)
		w.out = append(w.out, yes)
	}
	return w.finish()
}

// decoder makes entries of bytes. What it gives out shares memory with what came
// before, so that it allocates once for many entries.
type decoder struct {
	text        text
	refs        slab
	user, group string // of the entry before, mostly those of the next
}

// decode reads what appendEntry wrote, and nothing else: of every valid entry
// there is one form.
func (d *decoder) decode(body []byte, e *Entry) error {
	*e = Entry{}
	p := parser{data: body}
	pairs := p.head(majorMap)
	var seen uint64
	last := uint64(0)
	for ; pairs > 0 && p.fault == ""; pairs-- {
		key := p.head(majorUint)
		if key <= last || key > keySuspect {
			p.fail("a key that is unknown, or out of order")
			break
		}
		last = key
		seen |= 1 << key
		d.field(&p, key, e)
	}
	switch {
	case p.fault != "":
	case seen&required != required:
		p.fail("a required key is missing")
	case p.left() > 0:
		p.fail("bytes follow the last value")
	}
	if p.fault != "" {
		return fmt.Errorf("decode entry: key %d: %s: %w", last, p.fault, ErrInvalid)
	}
	return e.Validate()
}

func (d *decoder) field(p *parser, key uint64, e *Entry) {
	switch key {
	case keyName:
		e.Name = d.text.add(p.bytes())
	case keyType:
		e.Type = Type(p.uint(0, 1<<8-1))
	case keyMode:
		e.Mode = uint32(p.uint(1, 1<<32-1))
	case keyUID:
		e.UID = uint32(p.uint(1, 1<<32-1))
	case keyGID:
		e.GID = uint32(p.uint(1, 1<<32-1))
	case keyUser:
		d.user = d.again(p.someBytes(), d.user)
		e.User = d.user
	case keyGroup:
		d.group = d.again(p.someBytes(), d.group)
		e.Group = d.group
	case keyMTime:
		e.MTime = p.time()
	case keyCTime:
		e.CTime = p.time()
	case keyInode:
		e.Inode = p.uint(1, 1<<64-1)
	case keyLink:
		e.Link = p.uint(1, 1<<64-1)
	case keyDevice:
		e.Device = p.uint(1, 1<<64-1)
	case keyTarget:
		e.Target = d.text.add(p.someBytes())
	case keyXattrs:
		e.Xattrs = d.xattrs(p)
	case keySize:
		e.Size = p.uint(1, 1<<64-1)
	case keyHoles:
		e.Holes = holes(p)
	case keyContent:
		e.Content.Refs = d.content(p)
	case keyEntries:
		e.Entries = p.uint(1, 1<<64-1)
	case keySuspect:
		e.Suspect = p.yes()
	}
}

// again returns b as a string, the one before if it is the same.
func (d *decoder) again(b []byte, before string) string {
	if string(b) == before {
		return before
	}
	return d.text.add(b)
}

func (d *decoder) xattrs(p *parser) []Xattr {
	xattrs := make([]Xattr, p.array())
	for i := range xattrs {
		p.pair()
		xattrs[i].Name = d.text.add(p.bytes())
		xattrs[i].Value = append([]byte{}, p.bytes()...)
	}
	return xattrs
}

func holes(p *parser) []Extent {
	extents := make([]Extent, p.array())
	for i := range extents {
		p.pair()
		extents[i].Offset = p.uint(0, 1<<64-1)
		extents[i].Length = p.uint(0, 1<<64-1)
	}
	return extents
}

func (d *decoder) content(p *parser) []Ref {
	if p.null() {
		return nil
	}
	data := p.someBytes()
	refs := d.refs.take(len(data) / refSize)
	if err := decodeRefs(refs, data, MaxLevel+1); err != nil {
		p.fail(err.Error())
	}
	return refs
}
