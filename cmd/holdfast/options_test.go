package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// options runs a command line and reads what its action was called with.
func options[O any](t *testing.T, line string) (o O) {
	t.Helper()
	app, stdout, stderr := testEnv()
	if code := run(t.Context(), app, echoing(), strings.Fields(line)); code != exitDone {
		t.Fatalf("%s: exit code %d, %s", line, code, stderr)
	}
	var e echoed
	if err := json.Unmarshal(stdout.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(e.Options, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func same[O any](t *testing.T, line string, want O) {
	t.Helper()
	if got := options[O](t, line); !reflect.DeepEqual(got, want) {
		t.Errorf("%s\ngives %+v\n want %+v", line, got, want)
	}
}

func TestOptions(t *testing.T) {
	same(t, "init", InitOptions{})
	same(t, "init --label safe", InitOptions{Label: "safe"})
	same(t, "snapshot create", CreateOptions{})
	same(t, "snapshot create --live --yes --dry-run --description upgrade", CreateOptions{Live: true, DryRun: true, Description: "upgrade"})
	same(t, "snapshots --all", ListOptions{All: true})
	same(t, "snapshot list --deleted", ListOptions{Deleted: true})
	same(t, "snapshot show latest", ShowOptions{Snapshot: "latest"})
	same(t, "snapshot show 2CA4D90639F706283FEE", ShowOptions{Snapshot: "2ca4d90639f706283fee"})
	same(t, "snapshot ls 2ca4d9", LsOptions{Snapshot: "2ca4d9"})
	same(t, "snapshot ls latest /uploads//2026/./ --recursive", LsOptions{Snapshot: "latest", Path: "uploads/2026", Recursive: true})
	same(t, "snapshot cat latest uploads/a", CatOptions{Snapshot: "latest", Path: "uploads/a"})
	same(t, "snapshot diff 2ca4d9 latest", DiffOptions{From: "2ca4d9", To: "latest"})
	same(t, "snapshot find *.png --all", FindOptions{Pattern: "*.png", All: true})
	same(t, "snapshot delete 2ca4d9 --yes", DeleteOptions{Snapshot: "2ca4d9", Yes: true})
	same(t, "snapshot prune", PruneOptions{})
	for _, flag := range []string{" -W", " --no-wait"} {
		same(t, "snapshot create"+flag, CreateOptions{})
		same(t, "snapshot delete 2ca4d9"+flag, DeleteOptions{Snapshot: "2ca4d9"})
		same(t, "snapshot prune"+flag, PruneOptions{})
		same(t, "repo gc"+flag, CollectOptions{Grace: 24 * time.Hour, Wait: time.Minute, Bases: 14 * 24 * time.Hour})
	}
	same(t, "snapshot prune --all --dry-run --yes", PruneOptions{All: true, DryRun: true, Yes: true})
	same(t, "snapshot undelete 2ca4d9", UndeleteOptions{Snapshot: "2ca4d9"})
	same(t, "snapshot pin latest", PinOptions{Snapshot: "latest"})
	same(t, "snapshot unpin latest", UnpinOptions{Snapshot: "latest"})
	same(t, "repo stats", StatsOptions{})
	same(t, "repo check --read-data", CheckOptions{ReadData: true})
	same(t, "repo rebuild-index", RebuildIndexOptions{})
	day := 24 * time.Hour
	same(t, "repo gc", CollectOptions{Grace: day, Wait: time.Minute, Bases: 14 * day})
	same(t, "repo gc --grace 7d --max-repack 2GiB --wait 0 --settle 150s --base-retention 0 --erase --dry-run --accept-loss",
		CollectOptions{DryRun: true, Grace: 7 * day, Settle: 150 * time.Second, MaxRepack: 2 << 30, Erase: true, AcceptLoss: true})
	same(t, "repo key add --token --label web1", KeyAddOptions{Token: true, Label: "web1"})
	same(t, "repo key add --new-password-file f", KeyAddOptions{NewPasswordFile: "f"})
	same(t, "repo key list", KeyListOptions{})
	same(t, "repo key remove 5F3A91 --yes", KeyRemoveOptions{Slot: "5f3a91", Yes: true})
	same(t, "repo key password --new-password-file f", KeyPasswordOptions{NewPasswordFile: "f"})
}

func TestRestoreOptions(t *testing.T) {
	same(t, "snapshot restore", RestoreOptions{Snapshot: "latest"})
	same(t, "environment:restore 2ca4d9 --target staging --yes --dry-run --no-safety-snapshot",
		RestoreOptions{Snapshot: "2ca4d9", Target: "staging", Yes: true, DryRun: true, NoSafetySnapshot: true})
	same(t, "snapshot restore --only a --only b,a", RestoreOptions{Snapshot: "latest", Only: []string{"a", "b"}})
	same(t, "snapshot restore --path uploads/2026/a.jpg --to out",
		RestoreOptions{Snapshot: "latest", To: "out", Only: []string{"uploads"}, Subpath: "2026/a.jpg"})
	same(t, "snapshot restore --only uploads --path uploads/2026",
		RestoreOptions{Snapshot: "latest", Only: []string{"uploads"}, Subpath: "uploads/2026"})
	same(t, "snapshot restore --path /uploads/", RestoreOptions{Snapshot: "latest", Only: []string{"uploads"}})
	same(t, "snapshot restore --path settings.db", RestoreOptions{Snapshot: "latest", Only: []string{"settings"}})
}

func TestOptionsAreRefused(t *testing.T) {
	const id = "; expected latest, or 6 to 20 of the hex digits of its name"
	for _, test := range []struct{ line, want string }{
		{"snapshot show 2ca4d", `"2ca4d" is no snapshot` + id},
		{"snapshot show 2ca4dx", `"2ca4dx" is no snapshot` + id},
		{"snapshot show 2ca4d90639f706283feeb", `"2ca4d90639f706283feeb" is no snapshot` + id},
		{"snapshot delete latest", `"latest" is not taken here; expected 6 to 20 of the hex digits of the name of the snapshot you mean`},
		{"snapshot undelete latest", `"latest" is not taken here; expected 6 to 20 of the hex digits of the name of the snapshot you mean`},
		{"snapshot ls latest ../etc", `"../etc" has ".." in it; expected a path as "snapshot ls" shows it`},
		{"snapshot cat latest /", "snapshot cat needs the path of a file"},
		{"snapshot cat latest a --json", "snapshot cat writes the file's bytes; it has no form for --json"},
		{"snapshot find [", `"[" is no pattern; expected a name, in which * and ? stand for any characters`},
		{"snapshot restore staging", `"staging" is no snapshot` + id},
		{"snapshot restore --target a --to b", "--target restores into an environment and --to into a directory; expected one of them"},
		{"snapshot restore --target=", "--target needs a value, found none"},
		{"snapshot restore --to=", "--to needs a value, found none"},
		{"snapshot create --description=", "--description needs a value, found none"},
		{"snapshot create --environment=", "--environment needs a value, found none"},
		{"snapshot restore --target --yes", `--target "--yes" is no environment's name`},
		{"snapshot restore --only a,,b", `--only "" is no service's or mount's name`},
		{"snapshot restore --only a --only b --path c", "--path counts from one name; expected one --only, or none and a path that begins with the name"},
		{"snapshot restore --path /", `--path "/" begins with no service's or mount's name; expected one such as uploads/2026`},
		{"snapshot restore --path ../x", `"../x" has ".." in it; expected a path as "snapshot ls" shows it`},
		{"repo key add --token --new-password-file f", "--token makes a token and --new-password-file takes a password; expected one of them"},
		{"repo key remove zz", `"zz" is no key slot; expected 6 to 32 of its hex digits, as "repo key list" shows them`},
	} {
		app, stdout, stderr := testEnv()
		code := run(t.Context(), app, echoing(), strings.Fields(test.line))
		text, _, _ := strings.Cut(stderr.String(), "\nhint: ")
		if strings.Contains(test.line, "--json") {
			var e struct{ Error string }
			if err := json.Unmarshal(stderr.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			text = "holdfast: " + e.Error
		}
		if code != exitUsage || text != "holdfast: "+test.want || stdout.Len() > 0 {
			t.Errorf("%s: exit code %d\n%s\nwant %s", test.line, code, text, test.want)
		}
	}
}
