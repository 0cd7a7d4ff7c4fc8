package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// atSecond is the progress of an operation that does 10 MiB a second of 1 GiB.
func atSecond(started time.Time) progress {
	seconds := uint64(time.Since(started) / time.Second)
	return progress{Step: "database", Bytes: seconds * 10 << 20, TotalBytes: 1 << 30, Estimated: true, Files: seconds * 1000, Stored: seconds << 20}
}

func TestProgressWithoutATerminalIsALineEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, stdout, stderr := testEnv()
		started := time.Now()
		stop := app.watch(func() progress { return atSecond(started) })
		time.Sleep(25 * time.Second)
		stop()
		stop()
		time.Sleep(time.Minute)
		want := `10s, database, 9%, 100 MiB of about 1.0 GiB, 1m32s left, 10 MiB/s, 10,000 files, 10 MiB stored anew
20s, database, 19%, 200 MiB of about 1.0 GiB, 1m22s left, 10 MiB/s, 20,000 files, 20 MiB stored anew
`
		if stderr.String() != want || stdout.Len() > 0 {
			t.Errorf("%s\nwant\n%s", stderr, want)
		}
	})
}

func TestProgressOnATerminalIsOneLiveLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _, stderr := testEnv()
		app.console.terminal, app.console.width = true, func() int { return 60 }
		started := time.Now()
		stop := app.watch(func() progress { return atSecond(started) })
		time.Sleep(50*time.Second + 100*time.Millisecond)
		app.console.say("a remark")
		stop()
		const erase = "\r\x1b[K"
		live := "database [=========           ] 48%  500 MiB of about 1.0 GiB"[:59]
		_, end, found := strings.Cut(stderr.String(), erase+"a remark\n")
		if !found || strings.Contains(stderr.String(), "\n"+live+"\n") {
			t.Errorf("the remark does not stand above the live line: %q", stderr)
		}
		if strings.TrimSuffix(end, erase) != "database [=========           ] 48%" {
			t.Errorf("after the remark: %q", end)
		}
		if !strings.HasSuffix(end, erase) {
			t.Errorf("the live line remains: %q", end)
		}
	})
}

func TestProgressIsSilentUnderQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _, stderr := testEnv()
		app.flags.Quiet = true
		app.console.setQuiet(true)
		stop := app.watch(func() progress { t.Error("polled"); return progress{} })
		time.Sleep(time.Minute)
		stop()
		app.console.say("a remark")
		app.console.warn("a warning")
		if got := stderr.String(); got != "warning: a warning\n" {
			t.Errorf("%q", got)
		}
	})
}

func TestBarFitsTheTerminal(t *testing.T) {
	s := sample{progress: progress{Step: "uploads", Bytes: 512 << 20, TotalBytes: 1 << 30, Files: 1234, Stored: 3 << 20}, rate: 10 << 20, left: 51 * time.Second}
	for _, test := range []struct {
		width int
		want  string
	}{
		{200, "uploads [==========          ] 50%  512 MiB of 1.0 GiB  51s left  10 MiB/s  1,234 files  3.0 MiB stored anew"},
		{90, "uploads [==========          ] 50%  512 MiB of 1.0 GiB  51s left  10 MiB/s  1,234 files"},
		{50, "uploads [==========          ] 50%"},
		{30, "uploads [==========         …"},
		{0, "uploads [=========…"},
	} {
		if got := s.bar(test.width); got != test.want {
			t.Errorf("%d columns: %q, want %q", test.width, got, test.want)
		}
	}
}

func TestRateAndTimeLeft(t *testing.T) {
	start := time.Unix(0, 0)
	m := newMeter(start)
	s := m.measure(start.Add(time.Second), progress{Bytes: 1000})
	if s.rate != 1000 || s.left != -1 || s.percent() != -1 {
		t.Errorf("with an unknown total: %+v", s)
	}
	for second := 2; second <= 60; second++ { // it becomes ten times faster
		s = m.measure(start.Add(time.Duration(second)*time.Second), progress{Bytes: uint64(1000 + 10000*(second-1)), TotalBytes: 691_000})
	}
	if s.rate != 10000 || s.left != 10*time.Second || s.elapsed != time.Minute {
		t.Errorf("after a minute: %+v", s)
	}
	s = m.measure(start.Add(61*time.Second), progress{Bytes: 700_000, TotalBytes: 691_000})
	if s.percent() != 99 || s.left != -1 {
		t.Errorf("beyond an estimate: %+v, %d%%", s, s.percent())
	}
	for second := 62; second <= 80; second++ {
		s = m.measure(start.Add(time.Duration(second)*time.Second), progress{Bytes: 700_000, TotalBytes: 800_000})
	}
	if s.rate != 0 || s.left != -1 {
		t.Errorf("standing still: %+v", s)
	}
}
