package redis

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// appendString appends text in the simplest form of a string.
func appendString(dst []byte, text []byte) []byte {
	return append(appendLength(dst, uint64(len(text))), text...)
}

func appendLength(dst []byte, n uint64) []byte {
	switch {
	case n < 1<<6:
		return append(dst, byte(n))
	case n < 1<<14:
		return append(dst, length14|byte(n>>8), byte(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, length32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, length64), n)
}

// text decodes a string that a decoder has read over. A string that is not one
// gives an error.
func text(encoded []byte) ([]byte, error) {
	damaged := fmt.Errorf("a string of %d bytes: %w", len(encoded), errDump)
	n, form, rest, ok := cutLength(encoded)
	if !ok {
		return nil, damaged
	}
	switch form {
	case 0:
		if uint64(len(rest)) != n {
			return nil, damaged
		}
		return rest, nil
	case lzfForm:
		_, form, rest, ok := cutLength(rest)
		if !ok || form != 0 {
			return nil, damaged
		}
		n, form, rest, ok := cutLength(rest)
		if !ok || form != 0 || n > maxValue {
			return nil, damaged
		}
		return decompress(rest, int(n))
	}
	if len(rest) != 1<<(form&0x3F) {
		return nil, damaged
	}
	var whole [8]byte
	copy(whole[:], rest)
	number := int64(binary.LittleEndian.Uint64(whole[:]))
	shift := 64 - 8*len(rest)
	return strconv.AppendInt(nil, number<<shift>>shift, 10), nil
}

// cutLength decodes the length, or the form in its place, in front of data.
func cutLength(data []byte) (n uint64, form byte, rest []byte, ok bool) {
	if len(data) == 0 {
		return 0, 0, nil, false
	}
	first := data[0]
	switch {
	case first&0xC0 == length6:
		return uint64(first), 0, data[1:], true
	case first&0xC0 == length14 && len(data) >= 2:
		return uint64(first&0x3F)<<8 | uint64(data[1]), 0, data[2:], true
	case first == length32 && len(data) >= 5:
		return uint64(binary.BigEndian.Uint32(data[1:])), 0, data[5:], true
	case first == length64 && len(data) >= 9:
		return binary.BigEndian.Uint64(data[1:]), 0, data[9:], true
	case first >= int8Form && first <= lzfForm:
		return 0, first, data[1:], true
	}
	return 0, 0, nil, false
}

// decompress undoes LZF, as in lzf_d.c of liblzf by Marc Lehmann: a byte below 32
// is followed by that many literals and one more; any other one holds a length in
// its upper three bits and the upper five of a distance back.
func decompress(in []byte, size int) ([]byte, error) {
	damaged := fmt.Errorf("a compressed string: %w", errDump)
	out := make([]byte, 0, min(size, 264*len(in))) // no input gives more
	for len(in) > 0 {
		control := int(in[0])
		in = in[1:]
		if control < 32 {
			if control+1 > len(in) {
				return nil, damaged
			}
			out, in = append(out, in[:control+1]...), in[control+1:]
			continue
		}
		length := control >> 5
		if length == 7 {
			if len(in) == 0 {
				return nil, damaged
			}
			length += int(in[0])
			in = in[1:]
		}
		if len(in) == 0 {
			return nil, damaged
		}
		from := len(out) - (control&31)<<8 - int(in[0]) - 1
		in = in[1:]
		if from < 0 {
			return nil, damaged
		}
		for i := range length + 2 { // it may overlap itself
			out = append(out, out[from+i])
		}
	}
	if len(out) != size {
		return nil, damaged
	}
	return out, nil
}

// shown is an encoded key for messages.
func shown(encoded []byte) string {
	key, err := text(encoded)
	if err != nil {
		return "(unreadable)"
	}
	const most = 60
	if len(key) > most {
		return strings.TrimSuffix(strconv.Quote(string(key[:most])), `"`) + `…"`
	}
	return strconv.Quote(string(key))
}
