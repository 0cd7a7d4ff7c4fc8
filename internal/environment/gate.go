package environment

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Gate says where the gate of an environment is, and what is asked of it. Without
// a Control there is none.
type Gate struct {
	Control string // absolute path of its control socket
	// Drain and MaxHold are how long running requests may take to finish, and how long
	// requests may be held; 0 leaves that to the gate.
	Drain   time.Duration
	MaxHold time.Duration
	// OnTimeout says what becomes of a snapshot when that is over: OnTimeoutFail or
	// OnTimeoutLive.
	OnTimeout string
}

// What becomes of a snapshot whose hold takes too long.
const (
	OnTimeoutFail = "fail" // it fails, and nothing is published
	OnTimeoutLive = "live" // it goes on, and says that nothing was held
)

var gateKeys = []string{"control", "drain", "max_hold", "on_timeout"}

// longestHold bounds what can be asked for: nothing in front of a site waits longer.
const longestHold = 5 * time.Minute

// gate reads unix:/path, or keys.
func (d *document) gate(f field, directory string) Gate {
	g := Gate{OnTimeout: OnTimeoutFail}
	n := d.resolve(f)
	if n == nil || n.Kind != yaml.MappingNode {
		g.Control = d.control(f, directory)
		return g
	}
	fields := d.known(f, gateKeys...)
	control, ok := fields["control"]
	if !ok {
		d.problem(f, "has no control; expected where the gate's control socket is, such as unix:/run/holdfast/gate.sock")
		return g
	}
	g.Control = d.control(control, directory)
	g.Drain = d.seconds(fields, "drain")
	g.MaxHold = d.seconds(fields, "max_hold")
	if choice, ok := fields["on_timeout"]; ok {
		if g.OnTimeout, ok = d.text(choice, `"fail" or "live"`); ok && g.OnTimeout != OnTimeoutFail && g.OnTimeout != OnTimeoutLive {
			d.problem(choice, `is %s; expected "fail" or "live"`, shown(g.OnTimeout))
		}
	}
	return g
}

// control returns the path of unix:/path.
func (d *document) control(f field, directory string) string {
	const expected = "a socket such as unix:/run/holdfast/gate.sock"
	value, ok := d.text(f, expected)
	if !ok {
		return ""
	}
	path, ok := strings.CutPrefix(value, "unix:")
	if !ok || path == "" {
		d.problem(f, "is %s; expected %s", shown(value), expected)
		return ""
	}
	if !d.noTilde(f, path) {
		return ""
	}
	return absolute(directory, path)
}

// seconds reads a short length of time; 0 where there is none.
func (d *document) seconds(fields map[string]field, key string) time.Duration {
	f, ok := fields[key]
	if !ok {
		return 0
	}
	const expected = "a number with its unit, such as 5s or 800ms"
	text, ok := d.text(f, expected)
	if !ok {
		return 0
	}
	length, err := time.ParseDuration(text)
	switch {
	case err != nil:
		d.problem(f, "is %s; expected %s", shown(text), expected)
	case length <= 0 || length > longestHold:
		d.problem(f, "is %s; expected more than nothing and at most %s", shown(text), longestHold)
	}
	return length
}
