package environment

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"holdfast/internal/retention"
)

var (
	retentionKeys = []string{"tiers", "last", "min", "max"}
	tierKeys      = []string{"until", "every"}
)

// Retention returns the policy of an environment, and the zone in which its days
// begin; of one that the file does not define, what the file says for all. If any
// policy in the file has a mistake, that is the error: what cannot be read must not
// delete anything. Nobody else needs policies, so Load lets such a file pass.
func (c *Config) Retention(name string) (retention.Policy, *time.Location, error) {
	if err := invalid(c.misretained); err != nil {
		return retention.Policy{}, nil, err
	}
	if i := slices.IndexFunc(c.environments, func(e Environment) bool { return e.Name == name }); i >= 0 {
		e := c.environments[i]
		if zone, err := time.LoadLocation(e.Timezone); e.Timezone != "" && err == nil {
			return e.retention, zone, nil
		}
		return e.retention, time.Local, nil
	}
	return c.retention, time.Local, nil
}

// retention is policy with its mistakes put where Retention finds them.
func (d *document) retention(c *Config, f field, base retention.Policy) retention.Policy {
	apart := document{file: d.file, lookup: d.lookup, nodes: d.nodes}
	p := apart.policy(f, base)
	d.nodes = apart.nodes
	c.misretained = append(c.misretained, apart.problems...)
	if apart.nodes > maxNodes { // a bound of the whole file
		d.problems = append(d.problems, apart.problems...)
	}
	return p
}

// policy returns base with what f says in place of what base says of it: the
// file's own over the default, an environment's over the file's.
func (d *document) policy(f field, base retention.Policy) retention.Policy {
	fields := d.known(f, retentionKeys...)
	p := base
	if tiers, ok := fields["tiers"]; ok {
		p.Tiers = d.tiers(tiers)
	}
	if last, ok := fields["last"]; ok {
		p.Last = d.count(last)
	}
	if least, ok := fields["min"]; ok {
		p.Min, _ = d.span(least, "none", retention.Span{})
	}
	if most, ok := fields["max"]; ok {
		p.Max, _ = d.span(most, "none", retention.Forever)
	}
	if p.Min.Longer(p.Max) {
		d.problem(f, "keeps everything younger than %s (min) and nothing older than %s (max); expected a min that is not longer than max", p.Min, p.Max)
	}
	return p
}

func (d *document) tiers(f field) []retention.Tier {
	tiers := []retention.Tier{}
	for _, item := range d.list(f) {
		fields := d.known(item, tierKeys...)
		until, every := fields["until"], fields["every"]
		if until.node == nil || every.node == nil {
			d.problem(item, "lacks until or every; expected {until: AGE, every: INTERVAL}, such as {until: 6w, every: 1w}, or every: all")
			continue
		}
		var t retention.Tier
		var ok, also bool
		t.Until, ok = d.span(until, "forever", retention.Forever)
		t.Every, also = d.span(every, "all", retention.Span{})
		if !ok || !also {
			continue
		}
		if n := len(tiers); n > 0 && !t.Until.Longer(tiers[n-1].Until) {
			d.problem(until, "is not longer than the tier before it reaches (%s); expected tiers in ascending order", tiers[n-1].Until)
		}
		tiers = append(tiers, t)
	}
	return tiers
}

// span reads a length of time, or the one word that stands for meaning, which it
// also returns for what is neither.
func (d *document) span(f field, word string, meaning retention.Span) (retention.Span, bool) {
	expected := fmt.Sprintf(`%s, or a number and a unit, such as 36h, 7d, "6 weeks", 6mo or 1y`, word)
	n := d.resolve(f)
	if n != nil && n.Value == "0" && word == "none" && meaning == (retention.Span{}) {
		return meaning, true // no time, in whatever unit
	}
	if n != nil && n.ShortTag() == "!!int" { // "7": the message must not only say that it is a number
		d.problem(f, "has no unit; expected %s", expected)
		return meaning, false
	}
	text, ok := d.text(f, expected)
	if !ok || text == word {
		return meaning, ok
	}
	s, err := retention.ParseSpan(text)
	if err != nil {
		d.problem(f, "%q is no length of time; expected %s", shown(text), expected)
		return meaning, false
	}
	return s, true
}

func (d *document) count(f field) int {
	const most = 100_000
	t, ok := d.scalar(f, "a number")
	if !ok {
		return 0
	}
	text, err := t.text(d.lookup)
	if err != nil {
		d.expandProblem(f, err)
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		d.problem(f, "%q is no number from 0 to %d", shown(text), most)
		return 0
	}
	return n
}
