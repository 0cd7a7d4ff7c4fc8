package repo

import (
	"bytes"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"holdfast/internal/tree"
)

// records are the structures of sealed objects, each with some sample.
func records() map[string]any {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	root := tree.Entry{Name: "root", Type: tree.Directory, Mode: 0o700}
	return map[string]any{
		"config":    &Config{Polynomial: 1<<53 | 12345, Fine: DefaultFine, Coarse: DefaultCoarse, Created: at, Program: "holdfast"},
		"session":   &sessionRecord{Kind: Create, Host: "web1", PID: 77, Started: at, Ticks: 4711, Boot: "b4ae9d9b pid:[4026531836]"},
		"tombstone": &tombstone{Ended: true},
		"mark":      &mark{At: at, Action: Undelete},
		"parity":    &paritySetting{At: at, Percent: 5},
		"damage":    &Damage{At: at, Lost: []Loss{{Path: "uploads/a", Reason: "its pack is gone"}}, More: 3, Root: root, Gone: []string{"db"}},
		"condemned": &Condemned{At: at, By: Name{1}, Groups: []Group{{Number: 1, At: at, State: GroupAnnounced, Packs: [][32]byte{{1}, {2}},
			Dead: []Name{{3}}, Waits: []Name{{4}}, Bytes: 5}}, Purged: []PurgedOne{{Project: "shop", Environment: "master", First: 1, Last: 2}}},
		"snapshot": &Snapshot{Project: "shop", Environment: "master", Created: at, Description: "before the sale", Counter: 3, Predecessor: Name{1},
			Parent: Name{2}, Consistency: PerService, Took: time.Second, Definition: "{}", Services: []Service{{Name: "db", Engine: "mysql", Marked: at,
				Entries: []string{"db"}, Count: 3, Bytes: 4, Losses: []Loss{{Path: "x", Reason: "y"}}, Notes: []string{"n"}}}, Root: root,
			Stats: Stats{Bytes: 1, Read: 2}, Program: "holdfast", Host: "web1"},
	}
}

func recordNames() []string {
	var names []string
	for name := range records() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// decodeRecord decodes data as a record of a kind and encodes it again.
func decodeRecord(kind string, data []byte) (again []byte, err error) {
	into := reflect.New(reflect.TypeOf(records()[kind]).Elem()).Interface()
	if err := decode(data, into); err != nil {
		return nil, err
	}
	return encoding.Marshal(into)
}

// mustBeOneValue: what decodes is a value, which encodes and decodes as itself.
func mustBeOneValue(t *testing.T, kind string, data []byte) {
	t.Helper()
	once, err := decodeRecord(kind, data)
	if err != nil {
		return
	}
	if again, err := decodeRecord(kind, once); err != nil || !bytes.Equal(again, once) {
		t.Fatalf("%s %x encodes as %x, and that as %x: %v", kind, data, once, again, err)
	}
}

// TestRecordsCutAndFlipped cuts every record at every byte and flips every bit.
func TestRecordsCutAndFlipped(t *testing.T) {
	cases := 0
	for kind, sample := range records() {
		whole := must(encoding.Marshal(sample))
		if again, err := decodeRecord(kind, whole); err != nil || !bytes.Equal(again, whole) {
			t.Errorf("%s: %v", kind, err)
		}
		for n := range whole {
			if _, err := decodeRecord(kind, whole[:n]); err == nil {
				t.Errorf("%s of %d bytes decodes when cut at %d", kind, len(whole), n)
			}
			for bit := range 8 {
				flipped := bytes.Clone(whole)
				flipped[n] ^= 1 << bit
				mustBeOneValue(t, kind, flipped)
				cases++
			}
			cases++
		}
		if _, err := decodeRecord(kind, append(bytes.Clone(whole), 0)); err == nil {
			t.Errorf("%s decodes with a byte behind it", kind)
		}
	}
	t.Attr("cases", strconv.Itoa(cases))
}

func FuzzRecord(f *testing.F) {
	names := recordNames()
	for i, name := range names {
		f.Add(uint8(i), must(encoding.Marshal(records()[name])))
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		mustBeOneValue(t, names[int(kind)%len(names)], data)
	})
}

func FuzzParseName(f *testing.F) {
	f.Add("2ca4d90639f706283fee")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseName(text); err == nil && n.String() != text {
			t.Errorf("two forms of one name: %q", text)
		}
	})
}
