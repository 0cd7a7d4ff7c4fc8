// Package retention decides which snapshots of an environment are kept. It is
// pure: what it says depends on the policy, the snapshots, the time and the time
// zone that it is given, and on nothing else.
//
// A snapshot is judged by the first of these that applies:
//
//	pinned              kept, whatever its age
//	younger than Min    kept; no other rule can take it away
//	older than Max      goes
//	a safety snapshot   goes: it was made for taking a restore back, in time
//	of the Last         kept: one of the newest so many; by default one, so that an
//	                    environment of which no more are taken does not lose its last
//	in a tier           kept if the tier keeps all, or if it is the one of its
//	                    calendar interval (hour, day, week from Monday, month, year)
//	none of these       goes
//
// The one of an interval is the newest that is complete, or the newest if none is.
// It is sought among all snapshots of the interval, also those that are still too
// young for the tier: so the choice is the same from day to day, and what it keeps
// for a fine interval is what it keeps for the coarser one that contains it.
package retention

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Policy says what is kept.
type Policy struct {
	// Tiers come in ascending order of Until.
	Tiers []Tier
	// Last is how many of the newest snapshots are kept whatever their age up to Max;
	// where none of them is complete, the newest complete one besides.
	Last int
	// Min is the age below which nothing is pruned by any rule.
	Min Span
	// Max is the age above which only what is pinned is kept; Forever sets no bound.
	Max Span
}

// Tier keeps one snapshot per interval, among those that are older than the tier
// before reaches.
type Tier struct {
	Until Span // up to this age; Forever without bound
	Every Span // one per that; the zero Span keeps all
}

// Default is the policy of environments that name none: everything for a week,
// one a week to six weeks, one per two weeks to twelve, one a month to
// twenty-two.
func Default() Policy {
	return Policy{
		Tiers: []Tier{
			{Until: Weeks(1)},
			{Until: Weeks(6), Every: Weeks(1)},
			{Until: Weeks(12), Every: Weeks(2)},
			{Until: Weeks(22), Every: Months(1)},
		},
		Last: 1,
		Min:  Days(7),
		Max:  Months(6),
	}
}

// String says what is kept, for people: "all younger than 7 days, the newest, …".
func (p Policy) String() string {
	var parts []string
	if p.Min != (Span{}) {
		parts = append(parts, fmt.Sprintf("all younger than %s", p.Min))
	}
	switch p.Last {
	case 0:
	case 1:
		parts = append(parts, "the newest")
	default:
		parts = append(parts, fmt.Sprintf("the last %d", p.Last))
	}
	for _, t := range p.Tiers {
		every := "all"
		if t.Every != (Span{}) {
			every = "one per " + t.Every.length()
		}
		parts = append(parts, fmt.Sprintf("%s to %s", every, t.Until))
	}
	if p.Max != Forever {
		parts = append(parts, fmt.Sprintf("nothing older than %s", p.Max))
	}
	if len(parts) == 0 {
		return "what is pinned"
	}
	return strings.Join(parts, ", ") + ", and what is pinned"
}

// Candidate is what the policy looks at of a snapshot.
type Candidate struct {
	Name       string
	Created    time.Time
	Pinned     bool
	Safety     bool // made by a restore, of what it replaced
	Incomplete bool // something is missing in it
}

// Verdict is what becomes of a candidate, and why.
type Verdict struct {
	Keep bool
	Why  string // for people: "the newest of the week from 2026-11-16"
}

// Judge returns one verdict per candidate, in their order. They are all snapshots
// of one environment that are not deleted. zone is the environment's: weeks and
// months begin in it.
func (p Policy) Judge(all []Candidate, now time.Time, zone *time.Location) []Verdict {
	j := judge{Policy: p, all: all, now: now.In(zone), last: newest(all, p.Last)}
	for _, t := range p.Tiers {
		j.best = append(j.best, t.best(all, zone))
	}
	verdicts := make([]Verdict, len(all))
	for i := range all {
		verdicts[i] = j.verdict(i)
	}
	return verdicts
}

// newest returns the indices of the n newest that no restore made, and of the newest
// complete one.
func newest(all []Candidate, n int) map[int]bool {
	var order []int
	for i, c := range all {
		if !c.Safety {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return all[b].Created.Compare(all[a].Created) })
	chosen, complete := map[int]bool{}, n == 0
	for k, i := range order {
		if k < n || !complete && !all[i].Incomplete {
			chosen[i] = true
			complete = complete || !all[i].Incomplete
		}
	}
	return chosen
}

type judge struct {
	Policy
	all  []Candidate
	now  time.Time // in the environment's zone
	last map[int]bool
	best []map[int]int // by tier: interval -> index of the one that stands for it
}

func (j *judge) verdict(i int) Verdict {
	c := j.all[i]
	switch {
	case c.Pinned:
		return Verdict{true, "pinned"}
	case j.younger(c, j.Min):
		return Verdict{true, fmt.Sprintf("younger than %s", j.Min)}
	case !j.younger(c, j.Max):
		return Verdict{false, fmt.Sprintf("older than %s", j.Max)}
	case c.Safety:
		return Verdict{false, fmt.Sprintf("a safety snapshot, not younger than %s", j.Min)}
	case j.last[i]:
		if j.Last == 1 {
			return Verdict{true, "the newest"}
		}
		return Verdict{true, fmt.Sprintf("one of the last %d", j.Last)}
	}
	for t, tier := range j.Tiers {
		if j.younger(c, tier.Until) {
			return j.within(t, i)
		}
	}
	return Verdict{false, "older than all tiers"}
}

// younger reports whether c has not reached that age.
func (j *judge) younger(c Candidate, age Span) bool {
	return age == Forever || c.Created.After(age.before(j.now))
}

// within judges a snapshot by the tier that its age is in.
func (j *judge) within(tier, i int) Verdict {
	t := j.Tiers[tier]
	if t.Every == (Span{}) {
		return Verdict{true, fmt.Sprintf("all are kept to %s", t.Until)}
	}
	interval := t.Every.interval(j.all[i].Created.In(j.now.Location()))
	if best := j.best[tier][interval]; best != i {
		return Verdict{false, fmt.Sprintf("%.6s stands for %s", j.all[best].Name, t.Every.name(interval))}
	}
	return Verdict{true, fmt.Sprintf("the one of %s (one per %s to %s)", t.Every.name(interval), t.Every.length(), t.Until)}
}

// best returns the index of the one that stands for each interval.
func (t Tier) best(all []Candidate, zone *time.Location) map[int]int {
	best := map[int]int{}
	if t.Every == (Span{}) {
		return best
	}
	for i, c := range all {
		if c.Safety {
			continue
		}
		interval := t.Every.interval(c.Created.In(zone))
		if known, ok := best[interval]; !ok || better(c, all[known]) {
			best[interval] = i
		}
	}
	return best
}

// better reports whether a rather than b stands for an interval. It is a strict
// order, so that there is one best.
func better(a, b Candidate) bool {
	if a.Incomplete != b.Incomplete {
		return b.Incomplete
	}
	if !a.Created.Equal(b.Created) {
		return a.Created.After(b.Created)
	}
	return a.Name > b.Name
}
