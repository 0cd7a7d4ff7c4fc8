package redis

// The format of a dump, as in rdb.h of Redis and Valkey.

// The codes of what stands between values.
const (
	opFunction   = 0xF5 // a library of functions
	opModuleAux  = 0xF7 // what a module keeps beside the keys
	opIdle       = 0xF8
	opFrequency  = 0xF9
	opAux        = 0xFA
	opResize     = 0xFB
	opExpireMS   = 0xFC
	opExpire     = 0xFD
	opSelect     = 0xFE
	opEnd        = 0xFF
	firstOpcode  = 0xF0 // of those known and unknown
	checksumSize = 8
)

// The types of values.
const (
	typeString       = 0
	typeList         = 1
	typeSet          = 2
	typeSortedText   = 3 // sorted set with scores as text
	typeHash         = 4
	typeSorted       = 5
	typeModule       = 7
	typeZipmap       = 9
	typeZiplist      = 10
	typeIntset       = 11
	typeSortedZip    = 12
	typeHashZip      = 13
	typeQuicklist    = 14
	typeStream       = 15
	typeHashPack     = 16
	typeSortedPack   = 17
	typeQuicklist2   = 18
	typeStream2      = 19
	typeSetPack      = 20
	typeStream3      = 21
	typeHashTTL      = 24 // Redis 7.4: a hash whose fields expire
	typeHashPackTTL  = 25
	typeValkeyFields = 22 // Valkey 9: the same, another way
)

const (
	magicRedis  = "REDIS"
	magicValkey = "VALKEY"

	// minVersion of the format is the first with a checksum. There is no last one: what
	// a later version added is a type or a code that is not known here, and refused.
	minVersion = 5
)

// since returns the version of the format that brought a type, by product.
func since(kind byte, valkey bool) int {
	switch {
	case kind == typeModule:
		return 8
	case kind == typeStream:
		return 9
	case kind >= typeHashPack && kind <= typeStream2:
		return 10
	case kind == typeSetPack || kind == typeStream3:
		return 11
	case kind == typeValkeyFields && valkey:
		return 80
	case kind >= typeHashTTL:
		return 12
	}
	return minVersion
}
