package redis

import (
	"regexp"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

// rightsFixture is a server with a snapshot of it, and a user of these rights.
type rightsFixture struct {
	*testing.T
	a       *admin
	service engines.Service // as the user
	memory  *enginetest.Memory
	result  engines.Result
}

func newRightsFixture(t *testing.T, server *testserver.RedisServer, database, rules string) rightsFixture {
	t.Helper()
	f := rightsFixture{T: t, a: dial(t, server, "", 0)}
	fill(t, f.a, 0, [][]any{{"FLUSHALL"}}, knownData())
	f.memory, f.result, _ = capture(t, serviceAt(server.URL("", database)), nil)
	f.a.must(fields("ACL SETUSER backup reset on >PASSWORD " + rules)...)
	f.service = serviceAt(server.URL("backup", database))
	f.service.Password = "PASSWORD"
	return f
}

func (f rightsFixture) plan() error {
	f.Helper()
	_, err := openTarget(f.T, f.service, otherToken).Plan(f.Context(), f.result.Entries)
	return err
}

func TestWhatAUserLacksForARestoreIsSaidBeforehand(t *testing.T) {
	server := testserver.Redis(t, "--enable-debug-command", "yes")
	for rules, wants := range map[string][]string{
		"~* +select +info +psync +replconf +hgetall +config|get +config|set": {"+restore", "+swapdb", "+multi", "+client|id"},
		"~* +@all -function":                         {"+function|stats"},
		"~* +@all -client":                           {"+client|list +client|setname +client|id"},
		"~* +@all -psync -sync -replconf -scan -acl": {"+replconf"}, // who is not told about PSYNC
		"~* +@all -psync -pexpiretime":               {"+psync"},
		"~cache:* +@all":                             {"~*"},
		"~* +@all -multi":                            {"+multi", "+restore"},
		"~* +@all -psync":                            nil, // keys are asked for
		"~* +@all -scan":                             nil,
	} {
		for _, database := range []string{"0", ""} {
			f := newRightsFixture(t, server, database, rules)
			err := f.plan()
			if wants == nil {
				if err != nil {
					t.Errorf("%s: %v", rules, err)
				}
				continue
			}
			if err == nil {
				t.Fatalf("%s: not refused", rules)
			}
			for _, want := range wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, without %s", rules, err, want)
				}
			}
			cure := regexp.MustCompile(`ACL SETUSER .*`).FindString(err.Error())
			f.a.must(fields(cure)...)
			if err := f.plan(); err != nil {
				t.Errorf("%s, after %s: %v", rules, cure, err)
			}
			f.restoreAndUndo()
		}
	}
}

// restoreAndUndo restores the snapshot, and what that replaced.
func (f rightsFixture) restoreAndUndo() {
	f.Helper()
	fill(f.T, f.a, 0, [][]any{{"SET", "later", "x"}})
	before := allOf(f.T, f.a, 0)
	target := openTarget(f.T, f.service, otherToken)
	if _, err := target.Stage(f.Context(), f.result.Entries, f.memory); err != nil {
		f.Fatal(err)
	}
	if err := target.Swap(f.Context()); err != nil {
		f.Fatal(err)
	}
	source, err := target.Retired(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	retired := enginetest.NewMemory()
	sent := drain(f.T, source, retired)
	source.Close()
	if err := target.Discard(f.Context()); err != nil {
		f.Fatal(err)
	}
	target.Close()
	restore(f.T, f.service, retired, sent.Entries)
	if allOf(f.T, f.a, 0) != before {
		f.Error("the data are others")
	}
}

// A command that is renamed away is no matter of rules, and none is given.
func TestACommandThatIsNotThereIsNotAMatterOfRules(t *testing.T) {
	f := newRightsFixture(t, testserver.Redis(t, "--enable-debug-command", "yes", "--rename-command", "SWAPDB", "other"), "0", "~* +@all")
	if err := f.plan(); err != nil {
		t.Error(err)
	}
}

func TestWhereNothingWasStagedUndoingNeedsNoRights(t *testing.T) {
	f := newRightsFixture(t, testserver.Redis(t), "0", "~* +select +info +psync +replconf +hgetall")
	target := openTarget(t, f.service, otherToken)
	for name, undo := range map[string]func() error{
		"revert":  func() error { return target.Revert(t.Context()) },
		"discard": func() error { return target.Discard(t.Context()) },
	} {
		if err := undo(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What cannot be looked at may be there.
	f.a.must(fields("ACL SETUSER backup -hgetall")...)
	if err := target.Revert(t.Context()); err == nil {
		t.Error("said to be reverted by who does not see how far it came")
	}
	f.a.must(fields("ACL SETUSER backup +@all")...)
	if _, err := target.Stage(t.Context(), f.result.Entries, f.memory); err != nil {
		t.Fatal(err)
	}
	target.Close()
	f.a.must(fields("ACL SETUSER backup -client")...)
	if err := target.Discard(t.Context()); err == nil || !strings.Contains(err.Error(), "CLIENT") {
		t.Errorf("what was staged, discarded without the lock: %v", err)
	}
}
