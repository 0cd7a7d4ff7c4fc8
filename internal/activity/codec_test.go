package activity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/internal/process"
)

var (
	testTime = time.Date(2026, 11, 23, 8, 50, 12, 0, time.UTC)
	testBeat = Beat{
		Holder: Holder{"2ca4d90639f706283fee", Create, process.Process{Host: "web1", PID: 4711, Started: 417659, Boot: "b4ae9d9b pid:[4026531836]"}},
		Token:  "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Since: testTime, At: testTime.Add(time.Minute), Released: true,
	}
	testRecord = Record{
		Holder: testBeat.Holder, Project: "shop", Environment: "master", State: Failed, Percent: 42,
		Started: testTime, Updated: testTime.Add(time.Minute), Finished: testTime.Add(time.Minute),
		Error: "the disk is on fire", Snapshot: "2ca4d90639f706283fee",
		Results: []string{"3 files", "1 lost: \xff.jpg"}, Journal: []byte{0xa0},
	}
)

func TestRoundTrip(t *testing.T) {
	beat, record := testBeat, testRecord
	for _, c := range []struct {
		in, out encoded
	}{
		{&beat, &Beat{}},
		{&Beat{Holder: on("web1"), Token: beat.Token, Since: testTime, At: testTime}, &Beat{}},
		{&record, &Record{}},
		{&Record{Holder: on("web1"), State: InProgress, Started: testTime, Updated: testTime}, &Record{}},
	} {
		data, err := encode(c.in)
		if err != nil {
			t.Fatal(err)
		}
		if err := decode(data, c.out); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c.in, c.out) {
			t.Errorf("got  %+v\nwant %+v", c.out, c.in)
		}
	}
}

// The bytes are part of the format.
func TestVectors(t *testing.T) {
	beat, record := testBeat, testRecord
	for name, c := range map[string]struct {
		value encoded
		want  string
	}{
		"lease": {&beat, "a7" +
			"0154" + hex.EncodeToString([]byte("2ca4d90639f706283fee")) + "0246" + hex.EncodeToString([]byte("create")) +
			"03a4" + "0144" + hex.EncodeToString([]byte("web1")) + "02191267" + "031a00065f7b" +
			"045819" + hex.EncodeToString([]byte("b4ae9d9b pid:[4026531836]")) +
			"04581a" + hex.EncodeToString([]byte("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) +
			"051a6b03fe44" + "061a6b03fe80" + "07f5"},
		"activity": {&record, "ae" +
			"0154" + hex.EncodeToString([]byte("2ca4d90639f706283fee")) + "0246" + hex.EncodeToString([]byte("create")) +
			"03a4" + "0144" + hex.EncodeToString([]byte("web1")) + "02191267" + "031a00065f7b" +
			"045819" + hex.EncodeToString([]byte("b4ae9d9b pid:[4026531836]")) +
			"0444" + hex.EncodeToString([]byte("shop")) + "0546" + hex.EncodeToString([]byte("master")) +
			"0646" + hex.EncodeToString([]byte("failed")) + "07182a" +
			"081a6b03fe44" + "091a6b03fe80" + "0a1a6b03fe80" +
			"0b53" + hex.EncodeToString([]byte("the disk is on fire")) +
			"0c54" + hex.EncodeToString([]byte("2ca4d90639f706283fee")) +
			"0d8247" + hex.EncodeToString([]byte("3 files")) + "4d" + hex.EncodeToString([]byte("1 lost: \xff.jpg")) +
			"0e41a0"},
	} {
		data, err := encode(c.value)
		if got := hex.EncodeToString(data); err != nil || got != c.want {
			t.Errorf("%s:\ngot  %s, %v\nwant %s", name, got, err, c.want)
		}
	}
}

// decoders has one of each, with what it makes from bytes made into bytes again.
var decoders = map[string]func(data []byte) ([]byte, error){
	"lease": func(data []byte) ([]byte, error) {
		var b Beat
		if err := decode(data, &b); err != nil {
			return nil, err
		}
		return encode(&b)
	},
	"activity": func(data []byte) ([]byte, error) {
		var r Record
		if err := decode(data, &r); err != nil {
			return nil, err
		}
		return encode(&r)
	},
}

func samples(t testing.TB) map[string][]byte {
	t.Helper()
	beat, record := testBeat, testRecord
	b, err := encode(&beat)
	r, err2 := encode(&record)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"lease": b, "activity": r}
}

// whole expects an error, or a value that has exactly these bytes.
func whole(t *testing.T, again []byte, err error, data []byte) {
	t.Helper()
	if err != nil && !errors.Is(err, ErrInvalid) {
		t.Errorf("%x: error %v does not say that it is invalid", data, err)
	}
	if err == nil && !bytes.Equal(again, data) {
		t.Errorf("%x was read as %x", data, again)
	}
}

func TestCutAndFlippedBytes(t *testing.T) {
	for name, data := range samples(t) {
		for n := range data {
			if _, err := decoders[name](data[:n]); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s cut to %d bytes: %v", name, n, err)
			}
			for bit := range 8 {
				flipped := bytes.Clone(data)
				flipped[n] ^= 1 << bit
				again, err := decoders[name](flipped)
				whole(t, again, err, flipped)
			}
		}
		if _, err := decoders[name](append(bytes.Clone(data), 0)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s with a byte behind it: %v", name, err)
		}
	}
}

func TestStrictness(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	change := func(f func(*Record)) encoded {
		r := testRecord
		r.Results = append([]string{}, r.Results...)
		f(&r)
		return &r
	}
	beat := func(f func(*Beat)) encoded {
		b := testBeat
		f(&b)
		return &b
	}
	for name, v := range map[string]encoded{
		"no activity":         change(func(r *Record) { r.Activity = "" }),
		"activity of 21":      change(func(r *Record) { r.Activity += "0" }),
		"activity in capital": change(func(r *Record) { r.Activity = strings.ToUpper(r.Activity) }),
		"no kind":             change(func(r *Record) { r.Kind = "" }),
		"kind":                change(func(r *Record) { r.Kind = "Create!" }),
		"no host":             change(func(r *Record) { r.Process.Host = "" }),
		"process 0":           change(func(r *Record) { r.Process.PID = 0 }),
		"process -1":          change(func(r *Record) { r.Process.PID = -1 }),
		"project":             change(func(r *Record) { r.Project = long }),
		"state":               change(func(r *Record) { r.State = "done" }),
		"state of a reader":   change(func(r *Record) { r.State = Interrupted }),
		"percent":             change(func(r *Record) { r.Percent = -1 }),
		"100 and failed":      change(func(r *Record) { r.Percent = 100 }),
		"101 and complete":    change(func(r *Record) { r.State, r.Percent = Complete, 101 }),
		"no start":            change(func(r *Record) { r.Started = time.Time{} }),
		"before 1970":         change(func(r *Record) { r.Started = time.Unix(-1, 0) }),
		"after 9999":          change(func(r *Record) { r.Updated = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }),
		"failed, not ended":   change(func(r *Record) { r.Finished = time.Time{} }),
		"ended, in progress":  change(func(r *Record) { r.State = InProgress }),
		"error":               change(func(r *Record) { r.Error = long }),
		"line":                change(func(r *Record) { r.Results[0] = long }),
		"lines":               change(func(r *Record) { r.Results = make([]string, maxResults+1) }),
		"journal":             change(func(r *Record) { r.Journal = make([]byte, MaxJournal+1) }),
		"no token":            beat(func(b *Beat) { b.Token = "" }),
		"no time":             beat(func(b *Beat) { b.At = time.Time{} }),
		"no beginning":        beat(func(b *Beat) { b.Since = time.Time{} }),
	} {
		if _, err := encode(v); !errors.Is(err, ErrInvalid) {
			t.Errorf("encode, %s: %v", name, err)
		}
		data, err := encoding.Marshal(v) // as somebody else would have written it
		if err != nil {
			t.Fatal(err)
		}
		into := encoded(&Record{})
		if _, ok := v.(*Beat); ok {
			into = &Beat{}
		}
		if err := decode(data, into); !errors.Is(err, ErrInvalid) {
			t.Errorf("decode, %s: %v", name, err)
		}
	}
}

// Other ways of writing the same in CBOR, and what a newer program would add.
func TestOnlyOneForm(t *testing.T) {
	data := samples(t)["lease"]
	replace := func(old, new string) []byte {
		o, _ := hex.DecodeString(old)
		n, _ := hex.DecodeString(new)
		if !bytes.Contains(data, o) {
			t.Fatalf("%s is not in the sample", old)
		}
		return bytes.Replace(data, o, n, 1)
	}
	for name, changed := range map[string][]byte{
		"a longer number":      replace("02191267", "021a00001267"),
		"a text for bytes":     replace("0246637265617465", "0266637265617465"),
		"an explicit false":    replace("07f5", "07f4"),
		"a time as a float":    replace("061a6b03fe80", "06fb41dac0ffa0000000"),
		"a tagged time":        replace("061a6b03fe80", "06c11a6b03fe80"),
		"an unknown key":       append(replace("a701", "a801"), 0x08, 0xf5),
		"a key twice":          append(replace("a701", "a801"), 0x07, 0xf5),
		"an indefinite length": append(replace("a701", "bf01"), 0xff),
		"null":                 {0xf6},
		"nothing":              {},
	} {
		if _, err := decoders["lease"](changed); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzLease(f *testing.F)    { fuzz(f, "lease") }
func FuzzActivity(f *testing.F) { fuzz(f, "activity") }

func fuzz(f *testing.F, name string) {
	f.Add(samples(f)[name])
	f.Fuzz(func(t *testing.T, data []byte) {
		again, err := decoders[name](data)
		whole(t, again, err, data)
	})
}
