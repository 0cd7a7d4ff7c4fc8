package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"holdfast/repo"
	"holdfast/repo/gc"
)

func TestTable(t *testing.T) {
	columns := []column{{title: "Created"}, {title: "% Complete", right: true}, {title: "Snapshot name"}, {title: "Description", flexible: true}}
	rows := [][]string{
		{"2026-11-23 08:50:12 CET", "100", "2ca4d90639f706283fee", "vor dem Upgrade auf Größe XXL"},
		{"2026-11-22 08:50:12 CET", "7", "e3b0c44298fc1c149afb", "\x1b[2J"},
	}
	for _, test := range []struct {
		width int
		want  string
	}{
		{0, `
+-------------------------+------------+----------------------+-------------------------------+
| Created                 | % Complete | Snapshot name        | Description                   |
+-------------------------+------------+----------------------+-------------------------------+
| 2026-11-23 08:50:12 CET |        100 | 2ca4d90639f706283fee | vor dem Upgrade auf Größe XXL |
| 2026-11-22 08:50:12 CET |          7 | e3b0c44298fc1c149afb | \x1b[2J                       |
+-------------------------+------------+----------------------+-------------------------------+
`},
		{80, `
+-------------------------+------------+----------------------+----------------+
| Created                 | % Complete | Snapshot name        | Description    |
+-------------------------+------------+----------------------+----------------+
| 2026-11-23 08:50:12 CET |        100 | 2ca4d90639f706283fee | vor dem Upgra… |
| 2026-11-22 08:50:12 CET |          7 | e3b0c44298fc1c149afb | \x1b[2J        |
+-------------------------+------------+----------------------+----------------+
`},
		{40, `
+-------------------------+------------+----------------------+----------+
| Created                 | % Complete | Snapshot name        | Descrip… |
+-------------------------+------------+----------------------+----------+
| 2026-11-23 08:50:12 CET |        100 | 2ca4d90639f706283fee | vor dem… |
| 2026-11-22 08:50:12 CET |          7 | e3b0c44298fc1c149afb | \x1b[2J  |
+-------------------------+------------+----------------------+----------+
`},
	} {
		var b strings.Builder
		if err := (table{columns, rows}).write(&b, test.width, func(s string) string { return s }); err != nil {
			t.Fatal(err)
		}
		if got := "\n" + b.String(); got != test.want {
			t.Errorf("%d columns wide:%s\nwant%s", test.width, got, test.want)
		}
	}
}

func TestResultIsTextOrOneDocument(t *testing.T) {
	for asJSON, want := range map[bool]string{false: "Snapshot name: x\n", true: "{\n  \"name\": \"<x>\"\n}\n"} {
		app, stdout, _ := testEnv()
		app.flags.JSON = asJSON
		doc := struct {
			Name string `json:"name"`
		}{"<x>"}
		err := app.result(doc, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, "Snapshot name: x")
			return err
		})
		if err != nil || stdout.String() != want {
			t.Errorf("--json=%v: %s, %v", asJSON, stdout, err)
		}
	}
}

func TestColours(t *testing.T) {
	app, _, _ := testEnv()
	if got := app.bold("x"); got != "x" {
		t.Errorf("without a terminal: %q", got)
	}
	app.color = true
	if got := app.bold("x"); got != "\x1b[1mx\x1b[0m" {
		t.Errorf("on a terminal: %q", got)
	}
	app.flags.NoColor = true
	if got := app.bold("x"); got != "x" {
		t.Errorf("with --no-color: %q", got)
	}
}

func TestWordsForNumbers(t *testing.T) {
	app, _, _ := testEnv()
	app.zone = time.FixedZone("CET", 3600)
	for _, test := range []struct{ got, want string }{
		{size(0), "0 B"}, {size(1536), "1.5 KiB"}, {size(3 << 30), "3.0 GiB"},
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(1234567), "1,234,567"},
		{span(400 * time.Millisecond), "0.4s"}, {span(12 * time.Second), "12s"}, {span(59600 * time.Millisecond), "1m00s"},
		{span(185 * time.Second), "3m05s"}, {span(7440 * time.Second), "2h04m"}, {span(-time.Second), "0s"},
		{app.localTime(time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)), "2026-11-23 09:00:00 CET"},
		{printable("plain ünïcode 漢"), "plain ünïcode 漢"},
		{printable("a\nb\t\x1b[2J\x00\x7f"), `a\nb\t\x1b[2J\x00\x7f`},
		{printable("bad \xff\xfe utf-8 �"), `bad \xff\xfe utf-8 ` + "�"},
		{printable("right-to-left \u202e override"), `right-to-left \u202e override`},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

// TestWhatACollectionCopiedIsSaid, also where the packs that it copied from are gone
// by its end.
func TestWhatACollectionCopiedIsSaid(t *testing.T) {
	app, _, _ := testEnv()
	for _, pending := range [][]gc.Pending{nil, {{}}} {
		text := strings.Join(app.collectText(&gc.Report{Copied: 3 << 20, Pending: pending}), "\n")
		if !strings.Contains(text, "Copied 3.0 MiB that snapshots need to new packs") || strings.Contains(text, "there twice") != (pending != nil) {
			t.Errorf("with %d pending: %s", len(pending), text)
		}
	}
}

func TestOneRequestWaited(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 requests waited, the longest 0s", 1: "1 request waited, the longest 0s", 1200: "1,200 requests waited, the longest 0s"} {
		if got := holdText(&repo.Hold{Requests: n}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
