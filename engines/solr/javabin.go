package solr

import "encoding/binary"

// A follower asks its leader for answers in javabin, version 2 of which is as far
// as is needed here (org.apache.solr.common.util.JavaBinCodec):
//
//	answer  2, list
//	string  1<<5 | length, UTF-8
//	array   4<<5 | length, values
//	list    6<<5 | length, pairs of string and value
//	long    7, 8 bytes, the highest first
//	map     10, length as varint, pairs of string and value
//
// A length of 31 or more is written as 31 and the varint of what exceeds 31; a
// varint has 7 bits a byte, the lowest first, and the eighth set where more follow.
const (
	javabinVersion = 2
	javabinString  = 1 << 5
	javabinArray   = 4 << 5
	javabinList    = 6 << 5
	javabinLong    = 7
	javabinMap     = 10
)

// field is a name and its value: a string, an int64, a dictionary or a []dictionary.
type field struct {
	name  string
	value any
}

// dictionary is what a map holds, in order.
type dictionary []field

// appendAnswer appends an answer with these fields.
func appendAnswer(dst []byte, fields ...field) []byte {
	dst = appendLength(append(dst, javabinVersion), javabinList, len(fields))
	return appendFields(dst, fields)
}

func appendFields(dst []byte, fields []field) []byte {
	for _, f := range fields {
		dst = appendText(dst, f.name)
		switch v := f.value.(type) {
		case string:
			dst = appendText(dst, v)
		case int64:
			dst = binary.BigEndian.AppendUint64(append(dst, javabinLong), uint64(v))
		case dictionary:
			dst = appendMap(dst, v)
		case []dictionary:
			dst = appendLength(dst, javabinArray, len(v))
			for _, d := range v {
				dst = appendMap(dst, d)
			}
		default:
			panic("solr: a field of an answer has a type that cannot be written")
		}
	}
	return dst
}

func appendMap(dst []byte, d dictionary) []byte {
	dst = binary.AppendUvarint(append(dst, javabinMap), uint64(len(d)))
	return appendFields(dst, d)
}

func appendText(dst []byte, text string) []byte {
	return append(appendLength(dst, javabinString, len(text)), text...)
}

func appendLength(dst []byte, tag byte, length int) []byte {
	const inTag = 31
	if length < inTag {
		return append(dst, tag|byte(length))
	}
	return binary.AppendUvarint(append(dst, tag|inTag), uint64(length-inTag))
}
