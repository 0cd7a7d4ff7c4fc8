package quiesce

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// controlled serves a keeper's control socket until the test ends.
func controlled(t *testing.T, k *Keeper) Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate.sock")
	l, unlock, err := ListenControl(path, -1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := (&Control{Keeper: k, Group: -1}).Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		k.Stop()
		cancel()
		serving.Wait()
		unlock()
	})
	return Client(path)
}

func holding(t *testing.T, c Client, mode Mode, maxHold time.Duration) *Hold {
	t.Helper()
	h, err := c.Hold(t.Context(), Request{Mode: mode, Holder: "test", MaxHold: maxHold})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// becomes returns once the gate is in that state.
func becomes(t *testing.T, k *Keeper, want State) {
	t.Helper()
	for range 2000 {
		if k.Gate.State() == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("the gate is %s, and never became %s", k.Gate.State(), want)
}

func TestHoldOverTheSocket(t *testing.T) {
	k := newKeeper(t, quick)
	c := controlled(t, k)
	h := holding(t, c, Mark, 0)
	if s, err := c.Status(t.Context()); err != nil || s.State != Held || s.Holder != "test" || s.Mode != Mark {
		t.Errorf("the status is %+v, %v", s, err)
	}
	if _, err := c.Hold(t.Context(), Request{Mode: Swap}); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "test") {
		t.Errorf("the second holder was told %v", err)
	}
	var visitor sync.WaitGroup
	visitor.Go(func() { get(k.Gate, "/") })
	waiting(t, k.Gate, 1)
	r, err := h.Release()
	visitor.Wait()
	if err != nil || !r.Whole || r.Requests != 1 || r.Held <= 0 || r.LongestWait <= 0 {
		t.Errorf("the report is %+v, %v", r, err)
	}
	becomes(t, k, Open)
}

// Requests are released first, then the holder is told.
func TestALeaseThatIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(Client)
		want error
	}{
		"max-hold": {func(Client) {}, ErrOverdue},
		"force":    {func(c Client) { c.Force(context.Background()) }, ErrLost},
	} {
		k := newKeeper(t, quick)
		client := controlled(t, k)
		h := holding(t, client, Mark, 300*time.Millisecond)
		c.lose(client)
		<-h.Lost()
		if s := k.Gate.State(); s != Open || !errors.Is(h.Cause(), c.want) {
			t.Errorf("%s: the gate is %s, and the holder was told %v", name, s, h.Cause())
		}
		if r, err := h.Release(); err != nil || r.Whole {
			t.Errorf("%s: the report is %+v, %v", name, r, err)
		}
	}
}

func TestAHolderThatDies(t *testing.T) {
	k := newKeeper(t, quick)
	c := controlled(t, k)
	holding(t, c, Mark, 0).Abandon()
	becomes(t, k, Open)
	holding(t, c, Swap, 300*time.Millisecond).Abandon()
	becomes(t, k, Refusing)
	if s, err := c.Status(t.Context()); err != nil || !s.Orphan {
		t.Errorf("the status is %+v, %v", s, err)
	}
	if err := c.Settled(t.Context()); err != nil {
		t.Error(err)
	}
	becomes(t, k, Open)
}

func TestAHolderThatDiesWhileDraining(t *testing.T) {
	k := newKeeper(t, &slow{takes: time.Second})
	c := controlled(t, k)
	var visitor sync.WaitGroup
	visitor.Go(func() { get(k.Gate, "/") })
	ctx, cancel := context.WithCancel(t.Context())
	becomes(t, k, Open)
	for k.Status().Running == 0 {
		time.Sleep(time.Millisecond)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := c.Hold(ctx, Request{Mode: Mark}); !errors.Is(err, context.Canceled) {
		t.Errorf("the hold ended with %v", err)
	}
	becomes(t, k, Open)
	visitor.Wait()
}

// A gate that ends under a lease says so to its holder.
func TestAGateThatEnds(t *testing.T) {
	k := newKeeper(t, quick)
	c := controlled(t, k)
	h := holding(t, c, Mark, 0)
	k.Stop()
	<-h.Lost()
	if !errors.Is(h.Cause(), ErrLost) {
		t.Errorf("the holder was told %v", h.Cause())
	}
	h.Abandon()
}

func TestNoGate(t *testing.T) {
	dir := t.TempDir()
	nobody := filepath.Join(dir, "left.sock")
	l, err := net.Listen("unix", nobody)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for path, says := range map[string]string{filepath.Join(dir, "none.sock"): "must be started anew", nobody: "has left its socket"} {
		if _, err := Client(path).Status(t.Context()); !errors.Is(err, ErrNoGate) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", path, err)
		}
	}
	// A gate takes the place of one that is gone, and of nobody else.
	first, unlockFirst, err := ListenControl(nobody, -1)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(nobody); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", info.Mode(), err)
	}
	if _, _, err := ListenControl(nobody, -1); err == nil || !strings.Contains(err.Error(), "another gate") {
		t.Errorf("a second gate was told %v", err)
	}
	time.AfterFunc(2*lockPause, func() { // as where somebody has it for a moment
		first.Close()
		unlockFirst()
	})
	l2, unlock, err := ListenControl(nobody, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	defer l2.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ListenControl(file, -1); err == nil {
		t.Error("a file was replaced by a socket")
	}
	if _, _, err := ListenControl(filepath.Join(dir, strings.Repeat("x", 100)), -1); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("of a path that is too long it says %v", err)
	}
	grouped := filepath.Join(dir, "grouped.sock")
	l3, unlock3, err := ListenControl(grouped, os.Getgid())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock3()
	defer l3.Close()
	if info, err := os.Stat(grouped); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket for a group has mode %v, %v", info.Mode(), err)
	}
}

func TestStrangers(t *testing.T) {
	const self, group = 33, 44
	for _, c := range []struct {
		name  string
		peer  unix.Ucred
		group int
		may   bool
	}{
		{"root", unix.Ucred{Uid: 0}, -1, true},
		{"ourselves", unix.Ucred{Uid: self, Gid: self}, -1, true},
		{"a member", unix.Ucred{Uid: 1 << 30, Gid: group}, group, true},
		{"a member, but the group is not served", unix.Ucred{Uid: 1 << 30, Gid: group}, -1, false},
		{"a stranger", unix.Ucred{Uid: 1 << 30, Gid: 1 << 30}, group, false},
		{"a stranger of the group -1", unix.Ucred{Uid: 1 << 30, Gid: 1<<32 - 1}, -1, false},
	} {
		if got := mayControl(&c.peer, self, c.group); got != c.may {
			t.Errorf("%s: %v, want %v", c.name, got, c.may)
		}
	}
	// The other way round: a socket in /tmp that a stranger has put there.
	owner := uint32(os.Getuid())
	for _, c := range []struct {
		peer    uint32
		self    int
		trusted bool
	}{{0, 33, true}, {33, 33, true}, {owner, 33, true}, {1 << 30, 33, false}} {
		err := checkGate(&unix.Ucred{Uid: c.peer}, c.self, filepath.Join(t.TempDir(), "gate.sock"))
		if (err == nil) != c.trusted {
			t.Errorf("a socket of user %d, for user %d: %v", c.peer, c.self, err)
		}
	}
}

// A stranger who reaches the socket, whatever its permissions, is served nothing, and
// nothing is held.
func TestAStrangerGetsNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("only root can be somebody else: run the tests as root")
	}
	k := newKeeper(t, quick)
	c := controlled(t, k)
	ask := func(uid uint32) string {
		// perl-base is everywhere, and can be run by everybody.
		perl := exec.Command("/usr/bin/perl", "-MIO::Socket::UNIX", "-e", `$SIG{PIPE} = "IGNORE";
my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or do { print "$!"; exit };
$s->autoflush(1);
print $s qq({"op":"hold","mode":"swap","holder":"a stranger"}\n);
print scalar(<$s>) // "closed";`, string(c))
		perl.Dir, perl.SysProcAttr = "/", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := perl.CombinedOutput()
		if err != nil {
			t.Errorf("perl: %v, %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	const stranger = 65534
	if got := ask(stranger); !strings.Contains(got, "Permission") {
		t.Errorf("by its permissions the socket says %q", got)
	}
	for at := filepath.Dir(string(c)); at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(string(c), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := ask(stranger); got != "closed" {
		t.Errorf("a stranger was answered %q", got)
	}
	if s := k.Status(); s.State != Open || s.Totals.Holds != 0 {
		t.Errorf("the gate is %+v", s)
	}
	if got := ask(0); !strings.Contains(got, `"held"`) {
		t.Errorf("root was answered %q: the test does not test what it says", got)
	}
	k.Settled()
}

func TestWhatIsNotTheProtocol(t *testing.T) {
	k := newKeeper(t, quick)
	c := controlled(t, k)
	for _, line := range []string{"", "GET / HTTP/1.1", `{"op":"hold"}`, `{"op":"release"}`, `{"op":"nonsense"}`, `{"op":"status","x":1}`,
		`{"op":"hold","mode":"mark","drain_ns":-1}`, `{"op":"status"}{}`, strings.Repeat("x", maxLine+1)} {
		conn, err := net.Dial("unix", string(c))
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(line + "\n"))
		w := newWire(conn)
		answer, err := w.receive()
		if e, decodeErr := decodeEvent(answer); err == nil && (decodeErr != nil || e.Event != eventError || e.Code != "protocol") {
			t.Errorf("%.40q was answered %s", line, answer)
		}
		conn.Close()
	}
	if s := k.Gate.State(); s != Open {
		t.Errorf("the gate is %s", s)
	}
}

func FuzzCommand(f *testing.F) {
	for _, c := range []command{{Op: opStatus}, {Op: opHold, Mode: Swap, Holder: "x", Drain: 1, MaxHold: 2}} {
		line, _ := json.Marshal(c)
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := decodeCommand(line)
		if err != nil {
			if !errors.Is(err, errProtocol) {
				t.Fatal(err)
			}
			return
		}
		encoded, _ := json.Marshal(c)
		if again, err := decodeCommand(encoded); err != nil || again != c {
			t.Fatalf("%+v became %+v: %v", c, again, err)
		}
	})
}

func FuzzEvent(f *testing.F) {
	for _, e := range []event{{Event: eventHeld, Drained: 5}, {Event: eventReleased, Report: &Report{Frozen: []string{"x"}}},
		{Event: eventStatus, Status: &Status{}}, {Event: eventError, Code: "busy", Message: "x"}} {
		line, _ := json.Marshal(e)
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := decodeEvent(line)
		if err != nil {
			return
		}
		encoded, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decodeEvent(encoded); err != nil || again.Event != e.Event || !reflect.DeepEqual(again.Report == nil, e.Report == nil) {
			t.Fatalf("%+v became %+v: %v", e, again, err)
		}
		_ = e.failure().Error()
	})
}
