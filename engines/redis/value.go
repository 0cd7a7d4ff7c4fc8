package redis

import (
	"bytes"
	"fmt"
	"slices"
)

// span is where an element lies in raw.
type span struct{ from, to int }

// value reads over a value. sorted says that it consists of spans whose order
// means nothing and which the server writes as its hash tables have them.
func (d *decoder) value(kind byte) (sorted bool, err error) {
	switch {
	case kind == typeValkeyFields && d.valkey:
		return true, d.elements(d.string, d.string, d.skip(8))
	case d.valkey && kind > typeStream3:
		return false, fmt.Errorf("type %d: %w", kind, errUnknown)
	}
	switch kind {
	case typeString, typeZipmap, typeZiplist, typeIntset, typeSortedZip, typeHashZip, typeHashPack, typeSortedPack, typeSetPack:
		return false, d.string()
	case typeList, typeQuicklist:
		return false, d.many(d.string)
	case typeSet:
		return true, d.elements(d.string)
	case typeHash:
		return true, d.elements(d.string, d.string)
	case typeSorted:
		return false, d.many(d.string, d.skip(8))
	case typeSortedText:
		return false, d.many(d.string, d.score)
	case typeQuicklist2:
		return false, d.many(d.number, d.string)
	case typeStream, typeStream2, typeStream3:
		return false, d.stream(kind)
	case typeModule:
		return false, d.module()
	case typeHashTTL:
		if err := d.take(8); err != nil { // when the first field expires
			return false, err
		}
		return true, d.elements(d.number, d.string, d.string)
	case typeHashPackTTL:
		return false, d.each(d.skip(8), d.string)
	}
	return false, fmt.Errorf("type %d: %w", kind, errUnknown)
}

// part reads over one thing.
type part = func() error

func (d *decoder) skip(n uint64) part { return func() error { return d.take(n) } }

func (d *decoder) number() error {
	_, err := d.length()
	return err
}

// each reads over parts, one after the other.
func (d *decoder) each(parts ...part) error {
	for _, p := range parts {
		if err := p(); err != nil {
			return err
		}
	}
	return nil
}

// many reads a number, and parts that many times.
func (d *decoder) many(parts ...part) error {
	n, err := d.length()
	for ; n > 0 && err == nil; n-- {
		err = d.each(parts...)
	}
	return err
}

// elements does the same and remembers where each began and ended.
func (d *decoder) elements(parts ...part) error {
	n, err := d.length()
	for ; n > 0 && err == nil; n-- {
		from := len(d.raw)
		err = d.each(parts...)
		d.spans = append(d.spans, span{from, len(d.raw)})
	}
	return err
}

// inOrder returns value with its spans sorted by their bytes.
func (d *decoder) inOrder(value []byte) []byte {
	less := func(a, b span) int { return bytes.Compare(value[a.from:a.to], value[b.from:b.to]) }
	defer func() { d.spans = d.spans[:0] }()
	if slices.IsSortedFunc(d.spans, less) {
		return value
	}
	ordered := make([]byte, 0, len(value))
	ordered = append(ordered, value[:d.spans[0].from]...)
	slices.SortFunc(d.spans, less)
	for _, s := range d.spans {
		ordered = append(ordered, value[s.from:s.to]...)
	}
	return ordered
}

// score reads over a number that is written as text.
func (d *decoder) score() error {
	n, err := d.byte()
	if err != nil || n > 252 { // not a number, or infinite
		return err
	}
	return d.take(uint64(n))
}

const streamID = 16 // bytes

// stream reads over a stream with its groups of consumers.
func (d *decoder) stream(kind byte) error {
	if err := d.many(d.string, d.string); err != nil { // nodes: first id, list
		return err
	}
	numbers := 3 // length, last id
	if kind >= typeStream2 {
		numbers = 8 // first id, highest deleted id, number of entries ever
	}
	for range numbers {
		if err := d.number(); err != nil {
			return err
		}
	}
	return d.many(func() error { return d.group(kind) })
}

func (d *decoder) group(kind byte) error {
	group := []part{d.string, d.number, d.number} // name, last id
	if kind >= typeStream2 {
		group = append(group, d.number) // entries read
	}
	consumer := []part{d.string, d.skip(8)} // name, seen
	if kind >= typeStream3 {
		consumer = append(consumer, d.skip(8)) // active
	}
	consumer = append(consumer, func() error { return d.many(d.skip(streamID)) })
	return d.each(append(group,
		func() error { return d.many(d.skip(streamID), d.skip(8), d.number) }, // pending: id, delivered, how often
		func() error { return d.many(consumer...) })...)
}

// What a module writes: each piece with what it is in front.
const (
	moduleEnd = iota
	moduleSigned
	moduleUnsigned
	moduleFloat
	moduleDouble
	moduleString
)

// module reads over what a module wrote, without understanding it.
func (d *decoder) module() error {
	if err := d.number(); err != nil { // the module's id
		return err
	}
	for {
		code, err := d.length()
		if err != nil {
			return err
		}
		switch code {
		case moduleEnd:
			return nil
		case moduleSigned, moduleUnsigned:
			err = d.number()
		case moduleFloat:
			err = d.take(4)
		case moduleDouble:
			err = d.take(8)
		case moduleString:
			err = d.string()
		default:
			err = fmt.Errorf("a piece of a module's value of kind %d: %w", code, errUnknown)
		}
		if err != nil {
			return err
		}
	}
}
