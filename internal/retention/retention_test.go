package retention

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	when, err := time.ParseInLocation("2006-01-02 15:04", text, berlin(t))
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func TestVerdicts(t *testing.T) {
	daily := Policy{Tiers: []Tier{{Until: Days(10), Every: Days(1)}, {Until: Forever, Every: Months(1)}}, Min: Days(2), Max: Forever}
	tests := []struct {
		name   string
		policy Policy
		all    []Candidate // names in order of age say what is expected: "k…" kept, "g…" goes
	}{
		{"nothing younger than min goes", Policy{Min: Days(7), Max: Forever},
			[]Candidate{{Name: "g", Created: at(t, "2026-11-19 12:00")}, {Name: "k", Created: at(t, "2026-11-19 12:01")}}},
		{"nothing older than max stays, though last would keep it", Policy{Last: 5, Max: Months(6)},
			[]Candidate{{Name: "g", Created: at(t, "2026-05-26 12:00")}, {Name: "k", Created: at(t, "2026-05-26 12:01")}}},
		{"pinned stays at any age", Policy{Max: Days(1)},
			[]Candidate{{Name: "k", Created: at(t, "1999-01-01 00:00"), Pinned: true}, {Name: "g", Created: at(t, "1999-01-01 00:00")}}},
		{"the newest of a day stands for it", daily,
			[]Candidate{{Name: "g1", Created: at(t, "2026-11-20 00:00")}, {Name: "k2", Created: at(t, "2026-11-20 23:59")}, {Name: "k3", Created: at(t, "2026-11-21 00:00")}}},
		{"days begin at midnight in the environment's zone", daily, // 23:30 UTC is the next day in Berlin
			[]Candidate{{Name: "k", Created: time.Date(2026, 11, 19, 22, 30, 0, 0, time.UTC)}, {Name: "k2", Created: time.Date(2026, 11, 19, 23, 30, 0, 0, time.UTC)}}},
		{"what is younger than the tier stands for the interval, too", daily, // the 24th is not half over after min
			[]Candidate{{Name: "g", Created: at(t, "2026-11-24 11:00")}, {Name: "k", Created: at(t, "2026-11-24 13:00")}}},
		{"a complete one is preferred to a newer incomplete one", daily,
			[]Candidate{{Name: "k", Created: at(t, "2026-11-20 01:00")}, {Name: "g", Created: at(t, "2026-11-20 02:00"), Incomplete: true}}},
		{"an incomplete one is better than none", daily, []Candidate{{Name: "k", Created: at(t, "2026-11-20 02:00"), Incomplete: true}}},
		{"a safety snapshot stays for min and stands for no interval", daily,
			[]Candidate{{Name: "k1", Created: at(t, "2026-11-20 01:00")}, {Name: "g", Created: at(t, "2026-11-20 02:00"), Safety: true}, {Name: "k2", Created: at(t, "2026-11-25 02:00"), Safety: true}}},
		{"a safety snapshot is none of the last", Policy{Last: 1, Max: Forever},
			[]Candidate{{Name: "k", Created: at(t, "2026-11-20 01:00")}, {Name: "g", Created: at(t, "2026-11-20 02:00"), Safety: true}}},
		{"last keeps the newest of any age", Policy{Last: 2, Max: Forever},
			[]Candidate{{Name: "g", Created: at(t, "2025-01-01 00:00")}, {Name: "k1", Created: at(t, "2025-01-02 00:00")}, {Name: "k2", Created: at(t, "2025-01-03 00:00")}}},
		{"last keeps one that is complete", Policy{Last: 1, Max: Forever},
			[]Candidate{{Name: "g", Created: at(t, "2025-01-01 00:00")}, {Name: "k1", Created: at(t, "2025-01-02 00:00")},
				{Name: "g2", Created: at(t, "2025-01-03 00:00"), Incomplete: true}, {Name: "k3", Created: at(t, "2025-01-04 00:00"), Incomplete: true}}},
		{"by default the newest stays up to max", Default(),
			[]Candidate{{Name: "g", Created: at(t, "2026-06-01 00:00")}, {Name: "k", Created: at(t, "2026-06-02 00:00")}}},
		{"without tiers the newest stays all the same", Policy{Last: Default().Last, Max: Forever},
			[]Candidate{{Name: "g", Created: at(t, "2025-06-01 00:00")}, {Name: "k", Created: at(t, "2025-06-02 00:00")}}},
		{"beyond all tiers everything goes", Policy{Tiers: []Tier{{Until: Weeks(1)}}, Max: Forever},
			[]Candidate{{Name: "g", Created: at(t, "2026-11-19 12:00")}, {Name: "k", Created: at(t, "2026-11-19 12:01")}}},
		{"what was taken in the future is young", Policy{Min: Hours(1), Max: Days(1)}, []Candidate{{Name: "k", Created: at(t, "2027-01-01 00:00")}}},
		{"of two at one instant exactly one stays", daily,
			[]Candidate{{Name: "g1", Created: at(t, "2026-11-20 01:00")}, {Name: "k2", Created: at(t, "2026-11-20 01:00")}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, v := range test.policy.Judge(test.all, at(t, "2026-11-26 12:00"), berlin(t)) {
				if v.Keep != strings.HasPrefix(test.all[i].Name, "k") {
					t.Errorf("%s: kept %v, because %q", test.all[i].Name, v.Keep, v.Why)
				}
				if v.Why == "" {
					t.Errorf("%s: no reason", test.all[i].Name)
				}
			}
		})
	}
}

// Two years of snapshots, four a day, pruned once a day: what is left must at no
// time have a gap longer than the policy's intervals promise, and its number
// must stay small.
func TestDefaultPolicyDayByDay(t *testing.T) {
	zone, policy := berlin(t), Default()
	now := time.Date(2025, 1, 1, 3, 0, 0, 0, zone)
	var all []Candidate
	for day := range 730 {
		for k := range 4 {
			when := now.AddDate(0, 0, day).Add(time.Duration(k-3) * 6 * time.Hour)
			all = append(all, Candidate{Name: fmt.Sprintf("%06d", 10*day+k), Created: when})
		}
		today := now.AddDate(0, 0, day)
		verdicts := policy.Judge(all, today, zone)
		kept := all[:0:0]
		for i, v := range verdicts {
			if v.Keep {
				kept = append(kept, all[i])
			}
		}
		all = kept
		checkGaps(t, all, today)
		if day > 200 && (len(all) < 28+5+3+2 || len(all) > 28+6+4+4) {
			t.Fatalf("on day %d there are %d snapshots", day, len(all))
		}
	}
}

func checkGaps(t *testing.T, all []Candidate, now time.Time) {
	t.Helper()
	for i := 1; i < len(all); i++ {
		age := now.Sub(all[i-1].Created) / (24 * time.Hour)
		allowed := 63 * 24 * time.Hour // the last of a month, the first of which is the next but one
		switch {
		case age < 7:
			allowed = 7 * time.Hour // six, and the change of summer time
		case age < 42:
			allowed = 14 * 24 * time.Hour
		case age < 84:
			allowed = 28 * 24 * time.Hour
		}
		if gap := all[i].Created.Sub(all[i-1].Created); gap > allowed {
			t.Fatalf("at %v a gap of %v after a snapshot %d days old", now, gap, age)
		}
	}
}

// What is judged once to go must not have been needed: pruning again changes nothing.
func TestJudgingTwiceIsJudgingOnce(t *testing.T) {
	zone, now := berlin(t), at(t, "2026-11-26 12:00")
	var all []Candidate
	for i := range 2000 {
		all = append(all, Candidate{Name: fmt.Sprintf("%06d", i), Created: now.Add(-time.Duration(i*i%7919) * time.Hour),
			Incomplete: i%7 == 0, Safety: i%11 == 0, Pinned: i%101 == 0})
	}
	policy := Default()
	policy.Last = 3
	var kept []Candidate
	for i, v := range policy.Judge(all, now, zone) {
		if v.Keep {
			kept = append(kept, all[i])
		}
	}
	again := policy.Judge(kept, now, zone)
	if slices.ContainsFunc(again, func(v Verdict) bool { return !v.Keep }) || len(kept) == 0 {
		t.Fatalf("of %d kept, some go the second time: %v", len(kept), again)
	}
}

func TestAPolicySaysWhatItKeeps(t *testing.T) {
	for want, p := range map[string]Policy{
		"all younger than 7 days, the newest, all to 1 week, one per week to 6 weeks, one per 2 weeks to 12 weeks, " +
			"one per month to 22 weeks, nothing older than 6 months, and what is pinned": Default(),
		"the last 3, one per day to any age, and what is pinned": {Last: 3, Max: Forever, Tiers: []Tier{{Until: Forever, Every: Days(1)}}},
		"what is pinned": {Max: Forever},
	} {
		if got := p.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSpans(t *testing.T) {
	for text, want := range map[string]Span{"36h": Hours(36), "7d": Days(7), "1 day": Days(1), "6 weeks": Weeks(6), "6mo": Months(6), "1 year": Years(1)} {
		if got, err := ParseSpan(text); err != nil || got != want {
			t.Errorf("%q is %v, %v", text, got, err)
		}
		if again, err := ParseSpan(want.String()); err != nil || again != want {
			t.Errorf("%v does not come back from its own text: %v, %v", want, again, err)
		}
	}
	for _, text := range []string{"", "7", "d", "0d", "-1d", "6m", "1.5d", "10001d", "7  d", "7d ", "99999999999999999999d", "all"} {
		if got, err := ParseSpan(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	ends := []struct{ from, span, want string }{
		{"2026-08-31 12:00", "6mo", "2026-02-28 12:00"},
		{"2028-02-29 12:00", "1y", "2027-02-28 12:00"},
		{"2026-03-29 12:00", "1d", "2026-03-28 12:00"}, // over the change to summer time: a day, not 24 hours
		{"2026-03-29 12:00", "24h", "2026-03-28 11:00"},
		{"2026-01-15 00:00", "2w", "2026-01-01 00:00"},
	}
	for _, e := range ends {
		s, err := ParseSpan(e.span)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.before(at(t, e.from)); !got.Equal(at(t, e.want)) {
			t.Errorf("%s before %s is %v, want %s", e.span, e.from, got, e.want)
		}
	}
}

func FuzzParseSpan(f *testing.F) {
	for _, seed := range []string{"7d", "6 weeks", "36h", "1 year", "6m", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSpan(text)
		if err != nil {
			return
		}
		if again, err := ParseSpan(s.String()); err != nil || again != s {
			t.Errorf("%q became %v, and that %v, %v", text, s, again, err)
		}
	})
}
