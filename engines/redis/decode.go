package redis

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

var (
	// errDump says that bytes are no dump, or a damaged one.
	errDump = errors.New("the dump is damaged, or no dump of Redis")
	// errUnknown says that a dump holds what this program does not know.
	errUnknown = errors.New("this version of holdfast does not know it")
)

// maxValue bounds one key with its value: what a server takes in one piece, by default.
const maxValue = 512 << 20

// record is one key, or what else stands in a dump. Its slices are valid until the
// next one is read.
type record struct {
	code     byte   // opAux, opFunction, opModuleAux, opEnd, or keyRecord
	database int    // of a key
	expires  uint64 // of a key: milliseconds since 1970, or 0
	kind     byte   // of a key's value
	key      []byte // of a key, as encoded
	value    []byte // as encoded; of opAux what was assigned to key, decoded like that
	// weight is about what the value takes in a server's memory, in bytes.
	weight int64
}

// keyRecord is the code of a record that is a key.
const keyRecord = 0

// decoder reads a dump record by record. It takes any bytes and returns a record
// or an error, and allocates no more than twice what it was given.
type decoder struct {
	r       *bufio.Reader
	valkey  bool
	version int

	raw      []byte // of the record being read, as it came
	sum      uint64
	database int
	weight   int64
	spans    []span // elements of a set or hash
}

// newDecoder reads the header.
func newDecoder(r io.Reader) (*decoder, error) {
	d := &decoder{r: bufio.NewReaderSize(r, 64<<10)}
	if err := d.take(9); err != nil {
		return nil, err
	}
	digits := d.raw[len(magicRedis):]
	if bytes.HasPrefix(d.raw, []byte(magicValkey)) {
		d.valkey, digits = true, d.raw[len(magicValkey):]
	} else if !bytes.HasPrefix(d.raw, []byte(magicRedis)) {
		return nil, fmt.Errorf("its header: %w", errDump)
	}
	version, err := strconv.ParseUint(string(digits), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("its version %q: %w", digits, errDump)
	}
	if version < minVersion {
		return nil, fmt.Errorf("a dump of version %d: %w", version, errUnknown)
	}
	d.version = int(version)
	d.settle()
	return d, nil
}

// header returns what the dump began with.
func (d *decoder) header() []byte {
	if d.valkey {
		return fmt.Appendf(nil, "%s%03d", magicValkey, d.version)
	}
	return fmt.Appendf(nil, "%s%04d", magicRedis, d.version)
}

// settle counts what was taken into the checksum and forgets it.
func (d *decoder) settle() {
	d.sum = checksum(d.sum, d.raw)
	d.raw, d.weight, d.spans = d.raw[:0], 0, d.spans[:0]
	if cap(d.raw) > 1<<20 {
		d.raw = nil
	}
}

// next reads one record. After one with opEnd there is no other: the checksum was
// right, and no byte beyond it has been taken.
func (d *decoder) next() (record, error) {
	var expires uint64
	for {
		code, err := d.byte()
		if err != nil {
			return record{}, err
		}
		switch code {
		case opExpireMS:
			if expires, err = d.fixed(8); err != nil {
				return record{}, err
			}
		case opExpire:
			if expires, err = d.fixed(4); err != nil {
				return record{}, err
			}
			expires *= 1000
		case opFrequency: // how often and when a key was used is no part of the data
			if _, err := d.byte(); err != nil {
				return record{}, err
			}
		case opIdle:
			if _, err := d.length(); err != nil {
				return record{}, err
			}
		case opSelect:
			n, err := d.length()
			if err != nil {
				return record{}, err
			}
			if n >= 1<<31 {
				return record{}, fmt.Errorf("database %d: %w", n, errDump)
			}
			d.database = int(n)
			d.settle()
		case opResize:
			for range 2 {
				if _, err := d.length(); err != nil {
					return record{}, err
				}
			}
			d.settle()
		case opEnd:
			return d.end()
		case opAux:
			return d.aux()
		case opFunction:
			return d.whole(record{code: opFunction}, d.string)
		case opModuleAux:
			return d.whole(record{code: opModuleAux}, d.module)
		default:
			return d.pair(code, expires)
		}
	}
}

// pair reads a key and its value.
func (d *decoder) pair(kind byte, expires uint64) (record, error) {
	if kind >= firstOpcode {
		return record{}, fmt.Errorf("code %d: %w", kind, errUnknown)
	}
	key := len(d.raw)
	if err := d.string(); err != nil {
		return record{}, err
	}
	value := len(d.raw)
	sorted, err := d.value(kind)
	if err != nil {
		return record{}, fmt.Errorf("database %d, key %s: %w", d.database, shown(d.raw[key:value]), err)
	}
	r := record{database: d.database, expires: expires, kind: kind, weight: d.weight}
	d.hand(&r, key, value)
	if sorted {
		r.value = d.inOrder(r.value)
	}
	return r, nil
}

// whole reads what follows a code as the value of r.
func (d *decoder) whole(r record, read func() error) (record, error) {
	begin := len(d.raw)
	if err := read(); err != nil {
		return record{}, err
	}
	d.hand(&r, begin, begin)
	return r, nil
}

func (d *decoder) aux() (record, error) {
	r := record{code: opAux}
	key := len(d.raw)
	if err := d.string(); err != nil {
		return r, err
	}
	value := len(d.raw)
	if err := d.string(); err != nil {
		return r, err
	}
	d.hand(&r, key, value)
	return r, nil
}

// hand gives r its part of raw, and begins the next record.
func (d *decoder) hand(r *record, key, value int) {
	raw := d.raw
	d.sum = checksum(d.sum, raw)
	d.raw, d.weight = d.raw[:0], 0
	if cap(raw) > 1<<20 {
		d.raw = nil // one large value is not held for all that follow
	}
	r.key, r.value = raw[key:value], raw[value:]
	for i := range d.spans {
		d.spans[i].from -= value
		d.spans[i].to -= value
	}
}

// end compares the checksum.
func (d *decoder) end() (record, error) {
	d.settle()
	sum := d.sum
	stated, err := d.fixed(checksumSize)
	if err != nil {
		return record{}, err
	}
	if stated != 0 && stated != sum { // 0: the server was told to compute none
		return record{}, fmt.Errorf("its checksum is wrong: %w", errDump)
	}
	return record{code: opEnd}, nil
}

// take reads n bytes more into raw; memory grows with what really comes.
func (d *decoder) take(n uint64) error {
	if n > maxValue || uint64(len(d.raw))+n > maxValue {
		return fmt.Errorf("a value has more than %d MiB: %w", maxValue>>20, errUnknown)
	}
	for n > 0 {
		part := int(min(n, 1<<20))
		at := len(d.raw)
		d.raw = append(d.raw, make([]byte, part)...)
		if _, err := io.ReadFull(d.r, d.raw[at:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		n -= uint64(part)
	}
	return nil
}

func (d *decoder) byte() (byte, error) {
	err := d.take(1)
	if err != nil {
		return 0, err
	}
	return d.raw[len(d.raw)-1], nil
}

// fixed reads a little-endian number.
func (d *decoder) fixed(size int) (uint64, error) {
	if err := d.take(uint64(size)); err != nil {
		return 0, err
	}
	var whole [8]byte
	copy(whole[:], d.raw[len(d.raw)-size:])
	return binary.LittleEndian.Uint64(whole[:]), nil
}

// The forms of a length.
const (
	length6  = 0 << 6
	length14 = 1 << 6
	length32 = 0x80
	length64 = 0x81
	special  = 3 << 6 // no length: a number, or compressed text
)

// special forms of a string.
const (
	int8Form  = special
	int16Form = special | 1
	int32Form = special | 2
	lzfForm   = special | 3
)

// length reads a length, or a number in that form.
func (d *decoder) length() (uint64, error) {
	n, form, err := d.lengthOr()
	if err == nil && form != 0 {
		err = fmt.Errorf("a length of form %#x: %w", form, errDump)
	}
	return n, err
}

// lengthOr reads a length, or the form that stands in its place.
func (d *decoder) lengthOr() (n uint64, form byte, err error) {
	first, err := d.byte()
	if err != nil {
		return 0, 0, err
	}
	switch {
	case first&0xC0 == length6:
		return uint64(first), 0, nil
	case first&0xC0 == length14:
		second, err := d.byte()
		return uint64(first&0x3F)<<8 | uint64(second), 0, err
	case first == length32:
		if err := d.take(4); err != nil {
			return 0, 0, err
		}
		return uint64(binary.BigEndian.Uint32(d.raw[len(d.raw)-4:])), 0, nil
	case first == length64:
		if err := d.take(8); err != nil {
			return 0, 0, err
		}
		return binary.BigEndian.Uint64(d.raw[len(d.raw)-8:]), 0, nil
	case first >= int8Form && first <= lzfForm:
		return 0, first, nil
	}
	return 0, 0, fmt.Errorf("a length of form %#x: %w", first, errDump)
}

// string reads over a string.
func (d *decoder) string() error {
	n, form, err := d.lengthOr()
	if err != nil {
		return err
	}
	switch form {
	case 0:
		d.weight += elementWeight + int64(min(n, maxValue))
		return d.take(n)
	case int8Form, int16Form, int32Form:
		d.weight += elementWeight
		return d.take(1 << (form & 0x3F))
	}
	packed, err := d.length()
	if err != nil {
		return err
	}
	n, err = d.length()
	if err != nil {
		return err
	}
	if n > maxValue {
		return fmt.Errorf("a value has more than %d MiB: %w", maxValue>>20, errUnknown)
	}
	d.weight += elementWeight + int64(n)
	return d.take(packed)
}

// elementWeight is about what a server keeps beside the bytes of a key or element.
const elementWeight = 64
