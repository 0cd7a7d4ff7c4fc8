package main

import (
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"holdfast/repo/check"

	"holdfast/internal/environment"
	"holdfast/quiesce"
)

var (
	snapshotName = regexp.MustCompile(`^[0-9a-f]{6,20}$`)
	slotName     = regexp.MustCompile(`^[0-9a-f]{6,32}$`)
	memberName   = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
)

// snapshotArgument returns the argument at i as a snapshot's name, or its
// beginning, or "latest".
func snapshotArgument(c *cli.Context, i int) (string, error) {
	typed := c.Args().Get(i)
	if typed == "latest" {
		return typed, nil
	}
	return namedSnapshot(typed, "latest, or ")
}

// namedSnapshot is snapshotArgument without "latest": what deletes is told what.
func namedSnapshot(typed, or string) (string, error) {
	if typed == "latest" {
		return "", usageError("\"latest\" is not taken here; expected 6 to 20 of the hex digits of the name of the snapshot you mean")
	}
	name := strings.ToLower(typed)
	if !snapshotName.MatchString(name) {
		return "", usageError("%q is no snapshot; expected %s6 to 20 of the hex digits of its name", typed, or)
	}
	return name, nil
}

// innerPath returns a path inside a snapshot, clean and relative.
func innerPath(typed string) (string, error) {
	var elements []string
	for e := range strings.SplitSeq(typed, "/") {
		switch e {
		case "", ".":
		case "..":
			return "", usageError("%q has \"..\" in it; expected a path as \"snapshot ls\" shows it", typed)
		default:
			elements = append(elements, e)
		}
	}
	return strings.Join(elements, "/"), nil
}

func createOptions(c *cli.Context) (CreateOptions, error) {
	o := CreateOptions{Live: c.Bool("live"), OnTimeout: c.String("on-timeout"), Description: c.String("description"), DryRun: c.Bool("dry-run")}
	switch o.OnTimeout {
	case "", environment.OnTimeoutFail, environment.OnTimeoutLive:
		return o, nil
	}
	return o, usageError("--on-timeout %q is neither fail nor live", o.OnTimeout)
}

func gateOptions(c *cli.Context) (GateOptions, error) {
	o := GateOptions{Action: gateServe, Listen: c.StringSlice("listen"), Upstream: c.String("upstream"), ControlGroup: c.String("control-group"),
		Queue: c.Int("queue"), Drain: c.Duration("drain"), MaxHold: c.Duration("max-hold"), Pass: c.StringSlice("pass"),
		Before: c.String("before"), After: c.String("after"), HookTime: c.Duration("hook-time"), Recover: c.String("recover")}
	if c.Args().Present() {
		o.Action = c.Args().First()
	}
	if !slices.Contains([]string{gateServe, gateStatus, gateRelease}, o.Action) {
		return o, usageError("gate %s: expected nothing, status or release after gate", o.Action)
	}
	if socket := c.String("control"); socket != "" {
		at, ok := strings.CutPrefix(socket, "unix:")
		if !ok || !path.IsAbs(at) {
			return o, usageError("--control %q is no socket; expected one such as unix:/run/holdfast/gate.sock", socket)
		}
		o.Control = path.Clean(at)
	}
	for _, text := range c.StringSlice("freeze") {
		f, err := quiesce.ParseFreezable(text)
		if err != nil {
			return o, usageError("--freeze: %v", err)
		}
		o.Freeze = append(o.Freeze, f)
	}
	for _, p := range o.Pass {
		if !strings.HasPrefix(p, "/") {
			return o, usageError("--pass %q is no path; expected one that begins with /", p)
		}
	}
	if o.Queue < 0 || o.Drain < 0 || o.MaxHold < 0 || o.HookTime < 0 {
		return o, usageError("--queue and times must not be negative")
	}
	return o, nil
}

func lsOptions(c *cli.Context) (o LsOptions, err error) {
	o.Recursive = c.Bool("recursive")
	if o.Snapshot, err = snapshotArgument(c, 0); err == nil {
		o.Path, err = innerPath(c.Args().Get(1))
	}
	return o, err
}

func catOptions(c *cli.Context) (o CatOptions, err error) {
	if c.Bool("json") {
		return o, usageError("snapshot cat writes the file's bytes; it has no form for --json")
	}
	if o.Snapshot, err = snapshotArgument(c, 0); err == nil {
		o.Path, err = innerPath(c.Args().Get(1))
	}
	if err == nil && o.Path == "" {
		err = usageError("snapshot cat needs the path of a file")
	}
	return o, err
}

func diffOptions(c *cli.Context) (o DiffOptions, err error) {
	if o.From, err = snapshotArgument(c, 0); err == nil {
		o.To, err = snapshotArgument(c, 1)
	}
	return o, err
}

func findOptions(pattern string, all bool) (FindOptions, error) {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
		return FindOptions{}, usageError("%q is no pattern; expected a name, in which * and ? stand for any characters", pattern)
	}
	return FindOptions{Pattern: pattern, All: all}, nil
}

func restoreOptions(c *cli.Context) (RestoreOptions, error) {
	o := RestoreOptions{
		Snapshot:         "latest",
		Target:           c.String("target"),
		To:               c.String("to"),
		Live:             c.Bool("live"),
		DryRun:           c.Bool("dry-run"),
		Yes:              c.Bool("yes"),
		NoSafetySnapshot: c.Bool("no-safety-snapshot"),
	}
	var err error
	if c.Args().Present() {
		if o.Snapshot, err = snapshotArgument(c, 0); err != nil {
			return o, err
		}
	}
	if o.Target != "" && o.To != "" {
		return o, usageError("--target restores into an environment and --to into a directory; expected one of them")
	}
	if o.Live && o.To != "" {
		return o, usageError("--live restores into an environment without holding its requests, and --to touches none; expected one of them")
	}
	if o.Target != "" && !memberName.MatchString(o.Target) {
		return o, usageError("--target %q is no environment's name", o.Target)
	}
	for _, name := range c.StringSlice("only") {
		if !memberName.MatchString(name) {
			return o, usageError("--only %q is no service's or mount's name", name)
		}
		if !slices.Contains(o.Only, name) {
			o.Only = append(o.Only, name)
		}
	}
	return o, o.narrow(c.String("path"))
}

// narrow puts --path into Only and Subpath. The path counts from the one name in
// Only; without --only its first element is that name.
func (o *RestoreOptions) narrow(typed string) error {
	if typed == "" {
		return nil
	}
	inner, err := innerPath(typed)
	if err != nil {
		return err
	}
	switch len(o.Only) {
	case 0:
		name, rest, _ := strings.Cut(inner, "/")
		if rest == "" {
			name, _, _ = strings.Cut(name, ".") // settings.db is all of settings
		}
		if !memberName.MatchString(name) {
			return usageError("--path %q begins with no service's or mount's name; expected one such as uploads/2026", typed)
		}
		o.Only, o.Subpath = []string{name}, rest
	case 1:
		o.Subpath = inner
	default:
		return usageError("--path counts from one name; expected one --only, or none and a path that begins with the name")
	}
	return nil
}

func collectOptions(c *cli.Context) (o CollectOptions, err error) {
	o.DryRun, o.Erase, o.AcceptLoss = c.Bool("dry-run"), c.Bool("erase"), c.Bool("accept-loss")
	if typed := c.String("max-repack"); typed != "" {
		bytes, err := humanize.ParseBytes(typed)
		if err != nil || bytes > math.MaxInt64 {
			return o, usageError("--max-repack %q is no size; expected one such as 500MB or 10GiB", typed)
		}
		o.MaxRepack = int64(max(bytes, 1))
	}
	for name, into := range map[string]*time.Duration{"grace": &o.Grace, "settle": &o.Settle, "wait": &o.Wait, "base-retention": &o.Bases} {
		if *into, err = durationOf(c.String(name)); err != nil {
			return o, usageError("--%s %q is no duration; expected one such as 0, 90s, 12h or 7d", name, c.String(name))
		}
	}
	return o, nil
}

// durationOf is time.ParseDuration for durations that are not negative, which
// knows days too.
func durationOf(typed string) (time.Duration, error) {
	days, isDays := strings.CutSuffix(typed, "d")
	if isDays {
		typed = days + "h"
	}
	d, err := time.ParseDuration(typed)
	if err == nil && (d < 0 || d > 10*365*24*time.Hour) {
		err = strconv.ErrRange
	}
	if isDays {
		d *= 24
	}
	return d, err
}

func checkOptions(c *cli.Context) (o CheckOptions, err error) {
	o.ReadData, o.Scratch = c.Bool("read-data"), c.String("scratch")
	if typed := c.String("read-data-subset"); typed != "" {
		if o.ReadData {
			return o, usageError("--read-data reads everything and --read-data-subset a part; expected one of them")
		}
		if o.Part, err = check.ParsePart(typed); err != nil {
			return o, usageError("--read-data-subset: %v", err)
		}
	}
	if typed := c.String("read-rate"); typed != "" {
		bytes, err := humanize.ParseBytes(strings.TrimSuffix(typed, "/s"))
		if err != nil || bytes == 0 || bytes > math.MaxInt64 {
			return o, usageError("--read-rate %q is no rate; expected bytes per second such as 20MB or 500KiB", typed)
		}
		o.Rate = int64(bytes)
	}
	if typed := c.String("verify-restore"); typed != "" {
		if o.VerifyRestore = strings.ToLower(typed); o.VerifyRestore != "latest" && !snapshotName.MatchString(o.VerifyRestore) {
			return o, usageError("--verify-restore %q is no snapshot; expected latest, or 6 to 20 of the hex digits of its name", typed)
		}
	} else if o.Scratch != "" {
		return o, usageError("--scratch is the place for --verify-restore, which is not given")
	}
	return o, nil
}

func parityOnOptions(c *cli.Context) (ParityOnOptions, error) {
	o := ParityOnOptions{Percent: c.Int("percent")}
	if o.Percent < 1 || o.Percent > 100 {
		return o, usageError("--percent %d is no strength of parity; expected 1 to 100", o.Percent)
	}
	return o, nil
}

func keyAddOptions(c *cli.Context) (KeyAddOptions, error) {
	o := KeyAddOptions{Token: c.Bool("token"), Label: c.String("label"), NewPasswordFile: c.String("new-password-file")}
	if o.Token && o.NewPasswordFile != "" {
		return o, usageError("--token makes a token and --new-password-file takes a password; expected one of them")
	}
	return o, nil
}

func keyRemoveOptions(c *cli.Context) (KeyRemoveOptions, error) {
	o := KeyRemoveOptions{Slot: strings.ToLower(c.Args().First()), Yes: c.Bool("yes")}
	if !slotName.MatchString(o.Slot) {
		return o, usageError("%q is no key slot; expected 6 to 32 of its hex digits, as \"repo key list\" shows them", c.Args().First())
	}
	return o, nil
}

// nothing is for commands without flags and arguments of their own.
func nothing[O any](*cli.Context) (o O, err error) { return o, nil }
