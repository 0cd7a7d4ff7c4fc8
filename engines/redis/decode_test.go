package redis

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// golden is a dump that Redis 7.0.15 saved: keys of every type, most in both forms,
// in databases 0 and 5, a time to expire, a library of functions.
func golden(tb testing.TB) []byte {
	tb.Helper()
	data, err := os.ReadFile("testdata/redis-7.0.15.rdb")
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// listing reads a whole dump.
func listing(data []byte) ([]string, error) {
	d, err := newDecoder(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var list []string
	for {
		r, err := d.next()
		if err != nil {
			return list, err
		}
		switch r.code {
		case opEnd:
			return list, nil
		case opAux, opFunction:
			list = append(list, fmt.Sprintf("%#x %d bytes", r.code, len(r.value)))
		case keyRecord:
			list = append(list, fmt.Sprintf("%d %s type %d expires %d", r.database, shown(r.key), r.kind, r.expires))
		}
	}
}

func TestAServersDumpIsRead(t *testing.T) {
	list, err := listing(golden(t))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(list, "\n")
	for _, want := range []string{
		`0 "short" type 0 expires 0`, `0 "squeezed" type 0`, `0 "expiring" type 0 expires 4102444800001`, `0 "list" type 18`,
		`0 "ints" type 11`, `0 "set" type 2`, `0 "hash" type 16`, `0 "hashtable" type 4`, `0 "sorted" type 17`, `0 "skiplist" type 5`,
		`0 "stream" type 19`, `5 "other" type 0`, "0xf5",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestADumpThatEndsEarlyIsNone(t *testing.T) {
	data := golden(t)
	for n := range data {
		if _, err := listing(data[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d of %d: %v", n, len(data), err)
		}
	}
}

func TestAnyChangeOfADumpIsNoticed(t *testing.T) {
	data := golden(t)
	for i := range data {
		for bit := range 8 {
			data[i] ^= 1 << bit
			if _, err := listing(data); err == nil {
				t.Fatalf("bit %d of byte %d changed, and nothing was said", bit, i)
			}
			data[i] ^= 1 << bit
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add(golden(f))
	for _, v := range values {
		f.Add(dumpWith(v.kind, v.encoded))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := listing(data)
		second, again := listing(data)
		if fmt.Sprint(first, err) != fmt.Sprint(second, again) {
			t.Errorf("read twice, it is not the same")
		}
		// What was read as a string can be decoded, or is refused.
		_, _ = text(data)
	})
}

// values are encodings that the golden dump has not: of old servers, of newer ones,
// of modules.
var values = []struct {
	name    string
	kind    byte
	encoded []byte
}{
	{"a list of strings", typeList, []byte("\x02\x01a\xc0\x05")},
	{"scores as text", typeSortedText, []byte("\x03\x01a\x031.5\x01b\xfe\x01c\xff")},
	{"a zipmap", typeZipmap, []byte("\x03abc")},
	{"a ziplist", typeZiplist, []byte("\x03abc")},
	{"a sorted set in a ziplist", typeSortedZip, []byte("\x03abc")},
	{"a hash in a ziplist", typeHashZip, []byte("\x03abc")},
	{"a list of ziplists", typeQuicklist, []byte("\x02\x01a\x01b")},
	{"a set in a listpack", typeSetPack, []byte("\x03abc")},
	{"a module's value", typeModule, []byte("\x81\x00\x00\x00\x00\x00\x00\x04\x00\x02\x05\x01\x40\x40\x05\x03abc\x03\x00\x00\x80\x3f\x0412345678\x00")},
	{"a stream of 5.0", typeStream, []byte("\x01\x10" + strings.Repeat("i", 16) + "\x03abc\x01\x01\x01\x01" +
		"\x01g\x01\x01" + "\x01" + strings.Repeat("p", 16) + "12345678\x01" + "\x01\x01c12345678\x01" + strings.Repeat("p", 16))},
	{"a stream of 7.2", typeStream3, []byte("\x00\x00\x01\x01\x00\x00\x00\x00\x01" +
		"\x01\x01g\x01\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00" + "\x01\x01c1234567812345678\x00")},
	{"a hash whose fields expire", typeHashTTL, []byte("12345678\x02\x00\x01a\x01b\x05\x01c\x01d")},
	{"the same, small", typeHashPackTTL, []byte("12345678\x03abc")},
}

// dumpWith is a dump of one key called k.
func dumpWith(kind byte, value []byte) []byte {
	data := append([]byte("REDIS0012"), opSelect, 3, opIdle, 5, opFrequency, 9, kind, 1, 'k')
	data = append(append(data, value...), opEnd)
	return binary.LittleEndian.AppendUint64(data, checksum(0, data))
}

func TestEveryTypeIsReadToItsEnd(t *testing.T) {
	for _, v := range values {
		d, err := newDecoder(bytes.NewReader(dumpWith(v.kind, v.encoded)))
		if err != nil {
			t.Fatal(err)
		}
		r, err := d.next()
		if err != nil || !bytes.Equal(r.value, v.encoded) || r.database != 3 {
			t.Errorf("%s: %q, %v", v.name, r.value, err)
			continue
		}
		if end, err := d.next(); err != nil || end.code != opEnd {
			t.Errorf("%s: no end follows: %v", v.name, err)
		}
	}
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	for name, data := range map[string][]byte{
		"type":                 dumpWith(8, []byte("\x01a")),
		"newer type":           dumpWith(26, []byte("\x01a")),
		"code":                 dumpWith(0xF0, []byte("\x01a")),
		"old format":           []byte("REDIS0003\xff"),
		"piece of a module":    dumpWith(typeModule, []byte("\x01\x06\x00")),
		"value beyond 512 MiB": dumpWith(typeString, []byte("\x80\x20\x00\x00\x01")),
		"the same, compressed": dumpWith(typeString, []byte("\xc3\x05\x80\x20\x00\x00\x01abcde")),
	} {
		if _, err := listing(data); !errors.Is(err, errUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := dumpWith(typeString, []byte("\x01a"))
	sum := whole[len(whole)-checksumSize:]
	for name, data := range map[string][]byte{
		"no dump":        []byte("MARIADB01"),
		"form of length": dumpWith(typeString, []byte("\xc4")),
		"wrong checksum": append(bytes.TrimSuffix(dumpWith(typeString, []byte("\x01a")), sum), "12345678"...),
	} {
		if _, err := listing(data); !errors.Is(err, errDump) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStringsAreDecoded(t *testing.T) {
	for encoded, want := range map[string]string{
		"\x03abc":                       "abc",
		"\x00":                          "",
		"\xc0\xff":                      "-1",
		"\xc1\x00\x80":                  "-32768",
		"\xc2\xff\xff\xff\x7f":          "2147483647",
		"\x40\x03abc":                   "abc",
		"\xc3\x05\x0a\x00a\xe0\x00\x00": "aaaaaaaaaa",
	} {
		got, err := text([]byte(encoded))
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v; want %q", encoded, got, err, want)
		}
	}
	for _, encoded := range []string{"", "\x03ab", "\xc0", "\xc3\x05\x0b\x00a\xe0\x00\x00", "\xc3\x02\x05\x20\x00", "\xc3\x01\x05\x09"} {
		if got, err := text([]byte(encoded)); !errors.Is(err, errDump) {
			t.Errorf("%q: %q, %v", encoded, got, err)
		}
	}
}

func TestChecksumIsThatOfRedis(t *testing.T) {
	if got := checksum(0, []byte("123456789")); got != 0xE9C6D914C4B8D9CA { // crc64.c's own test
		t.Errorf("%x", got)
	}
	data := bytes.Repeat([]byte("any text "), 100)
	whole := checksum(0, data)
	for n := range data {
		if checksum(checksum(0, data[:n]), data[n:]) != whole {
			t.Fatalf("in two parts, cut at %d, it is another one", n)
		}
	}
}

// sorted makes our dump of one.
func sorted(tb testing.TB, data []byte, memory int64) []byte {
	tb.Helper()
	l := newLayout(bytes.NewReader(data), func(io.Reader) error { return nil }, scopeAll, func(n int) (int, bool) { return n, true })
	l.memory = memory
	out, err := io.ReadAll(bufio.NewReaderSize(l, 16))
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func TestOurDumpHoldsTheSameInAnOrderOfItsOwn(t *testing.T) {
	data := golden(t)
	ours := sorted(t, data, sortMemory)
	list, err := listing(ours)
	if err != nil {
		t.Fatal(err)
	}
	was, _ := listing(data)
	if !bytes.Equal(ours, sorted(t, ours, sortMemory)) {
		t.Error("sorted again, it is not the same")
	}
	text := strings.Join(list, "\n")
	for _, want := range was {
		if !strings.HasPrefix(want, "0xfa") && !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if bytes.Contains(ours, []byte("ctime")) || bytes.Contains(ours, []byte("used-mem")) {
		t.Error("it says when it was made, or how much memory there was")
	}
	for _, memory := range []int64{1, 100, slabSize} {
		runs, err := listing(sorted(t, data, memory))
		if err != nil || len(runs) != len(list) {
			t.Errorf("in runs of %d bytes it has %d records instead of %d: %v", memory, len(runs), len(list), err)
		}
	}
}
