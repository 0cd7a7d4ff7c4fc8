package repair

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"holdfast/index"
	"holdfast/internal/seal"
	"holdfast/internal/tree"
	"holdfast/repo"
	"holdfast/repo/pack"
)

// snapshots records beside every snapshot what it has lost.
func (m *mender) snapshots(ctx context.Context) error {
	all, err := m.repo.Snapshots(ctx)
	if err != nil {
		if err := m.unread(ctx, err); err != nil {
			return err
		}
	}
	survey := m.repo.NewSurvey(m.unusable)
	for _, s := range all {
		if !m.known[s.Name] {
			continue // it came meanwhile, and the index that was read does not know what it has
		}
		if err := m.snapshot(ctx, survey, s); err != nil {
			return fmt.Errorf("snapshot %s: %w", s.Name, err)
		}
	}
	return m.rescue(ctx, survey)
}

// unusable notes what is needed and goes with its pack. It tells of damaged packs in a
// dry run only: else the index names no such copy any more.
func (m *mender) unusable(e *index.Entry) error {
	p := m.packs.damaged[e.Pack.Name]
	if m.packs.going[e.Pack.Name] && m.onlyThere(e) {
		m.packs.endangered[e.ID] = *e
	}
	switch {
	case m.packs.collected[e.Pack.Name]:
		return &repo.MissingError{Object: pack.ObjectName(e.Pack.Name)}
	case !m.options.DryRun || p == nil:
		return nil
	case !p.stored:
		return fmt.Errorf("%s: %w", pack.ObjectName(e.Pack.Name), p.reason)
	case m.packs.bad[copyKey{e.Pack.Name, e.Number}]: // its reason is that of the pack's first one
		return fmt.Errorf("%s: blob %s is damaged", pack.ObjectName(e.Pack.Name), e.ID.Short())
	}
	return nil
}

func (m *mender) unread(ctx context.Context, err error) error {
	var joined interface{ Unwrap() []error }
	errs := []error{err}
	if errors.As(err, &joined) {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		damaged, ok := errors.AsType[*repo.DamagedError](err)
		if !ok || repo.Foreign(err) || ctx.Err() != nil {
			return err
		}
		if m.options.DryRun && slices.ContainsFunc(m.report.SetAside, func(a Aside) bool { return a.Object == damaged.Object }) {
			continue // it would not be there any more
		}
		givenUp := m.options.GiveUp && strings.HasPrefix(damaged.Object, "snapshots/")
		if !givenUp && !errors.Is(err, repo.ErrStray) {
			m.report.Unread = append(m.report.Unread, Aside{damaged.Object, damaged.Err.Error()})
			continue
		}
		m.aside(damaged.Object, damaged.Err)
		if m.options.DryRun {
			continue
		}
		if err := m.repo.SetAside(ctx, damaged.Object); err != nil {
			return err
		}
	}
	return nil
}

func (m *mender) snapshot(ctx context.Context, survey *repo.Survey, s repo.Listed) error {
	whole, err := survey.Walk(ctx, s.Whole, "", func(string, error) {})
	if err != nil {
		return err
	}
	d := repo.Damage{At: m.options.Now().UTC(), Lost: []repo.Loss{}, Root: s.Whole}
	if whole && s.Damage == nil {
		return nil
	}
	if !whole {
		if err := m.remains(ctx, survey, s, &d); err != nil {
			return err
		}
	}
	news := true
	if !m.options.DryRun {
		if news, err = m.repo.RecordDamage(ctx, s.Name, d); err != nil {
			return err
		}
	}
	if whole {
		m.report.Whole = append(m.report.Whole, s.Name)
		return nil
	}
	m.report.Lost = append(m.report.Lost, Lost{Damage: d, Snapshot: s.Name, Project: s.Project, Environment: s.Environment,
		Created: s.Created, News: news})
	return nil
}

// remains finds what of a snapshot is left and, but in a dry run, stores a root
// that holds it.
func (m *mender) remains(ctx context.Context, survey *repo.Survey, s repo.Listed, d *repo.Damage) error {
	l := leaver{mender: m, survey: survey, snapshot: s, damage: d, broken: map[string]error{}}
	if err := l.look(ctx); err != nil {
		return err
	}
	empty := tree.Entry{Name: s.Whole.Name, Type: tree.Directory, Mode: s.Whole.Mode}
	if m.options.DryRun {
		d.Root = empty
		return l.all(ctx, l.count)
	}
	return m.session.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		var left []tree.Entry
		err := l.all(ctx, func(ctx context.Context, e tree.Entry) (bool, error) {
			e, ok, err := w.PutRemains(ctx, survey, e, e.Name, l.lost)
			if ok && err == nil {
				left = append(left, e)
			}
			return ok, err
		})
		if err != nil {
			return err
		}
		d.Root, err = w.PutDirectory(ctx, empty, tree.Stream{}, each(left))
		return err
	})
}

// leaver goes through the root of one damaged snapshot.
type leaver struct {
	*mender
	survey   *repo.Survey
	snapshot repo.Listed
	damage   *repo.Damage
	entries  []tree.Entry     // of the root
	broken   map[string]error // services that are of no use without what they lost
}

func (l *leaver) lost(path string, why error) {
	d := l.damage
	if n := len(d.Lost); n > 0 && d.Lost[n-1].Path == path {
		return // told already, of another blob of it
	}
	if len(d.Lost) == repo.MaxLosses {
		d.More++
		return
	}
	d.Lost = append(d.Lost, repo.Loss{Path: path, Reason: why.Error()})
}

// look reads the root and finds the services that are broken.
func (l *leaver) look(ctx context.Context) error {
	for e, err := range l.children(ctx) {
		if err != nil {
			return err
		}
		l.entries = append(l.entries, e)
	}
	for _, e := range l.entries {
		service := l.serviceOf(e.Name)
		if service == nil || l.options.Divisible(service.Engine) {
			continue
		}
		if _, err := l.survey.Walk(ctx, e, e.Name, func(path string, why error) { l.broken[service.Name] = why }); err != nil {
			return err
		}
	}
	return nil
}

// children yields the root's entries. Where they are lost, all services are.
func (l *leaver) children(ctx context.Context) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for e, err := range l.repo.Children(ctx, l.snapshot.Whole) {
			switch {
			case ctx.Err() != nil:
				yield(e, context.Cause(ctx))
				return
			case err != nil:
				l.entries = nil
				for _, s := range l.snapshot.Saved {
					l.broken[s.Name] = err
				}
				return
			case !yield(e, nil):
				return
			}
		}
	}
}

func (l *leaver) serviceOf(entry string) *repo.Service {
	for i := range l.snapshot.Saved {
		if slices.Contains(l.snapshot.Saved[i].Entries, entry) {
			return &l.snapshot.Saved[i]
		}
	}
	return nil
}

// all gives every entry of the root to keep, but those of broken services, and
// notes the services of which nothing is left.
func (l *leaver) all(ctx context.Context, keep func(context.Context, tree.Entry) (bool, error)) error {
	left := map[string]bool{}
	for _, e := range l.entries {
		service := l.serviceOf(e.Name)
		if service != nil && l.broken[service.Name] != nil {
			continue
		}
		ok, err := keep(ctx, e)
		if err != nil {
			return err
		}
		if ok && service != nil {
			left[service.Name] = true
		}
	}
	for _, s := range l.snapshot.Saved {
		if why := l.broken[s.Name]; why != nil {
			l.lost(s.Name, fmt.Errorf("a part of it is lost, without which the rest is of no use: %w", why))
		}
		if !left[s.Name] {
			l.damage.Gone = append(l.damage.Gone, s.Name)
		}
	}
	return nil
}

// count is what a dry run does with an entry.
func (l *leaver) count(ctx context.Context, e tree.Entry) (bool, error) {
	whole, err := l.survey.Walk(ctx, e, e.Name, l.lost)
	return whole || e.Type == tree.Directory, err
}

// clearWay sets aside what stands in the place of objects, so that they can be put
// there again.
func (m *mender) clearWay(ctx context.Context) error {
	all, err := m.repo.Obstacles(ctx, "")
	if err != nil {
		return err
	}
	for _, o := range all {
		if isWayIn(o.Object) && m.options.DryRun {
			continue // Locked has told of it
		}
		if strings.HasPrefix(o.Object, "condemned/") {
			if err := m.noCollection(ctx); err != nil {
				return err
			}
		}
		if err := m.repo.ClearWay(ctx, o, m.options.DryRun); err != nil {
			return err
		}
		m.aside(o.Object, o.Err)
		m.cleared = append(m.cleared, o.Object)
	}
	return nil
}

// records sets aside the marks and damage records that cannot be read, and puts
// in their place what loses nothing: pinned, and not deleted.
func (m *mender) records(ctx context.Context) error {
	marks := map[string]repo.Action{}
	keys, err := m.repo.UnreadableKeys(ctx)
	if err != nil {
		return err
	}
	for _, object := range sorted(keys) {
		m.aside(object, keys[object])
		if m.options.DryRun {
			continue
		}
		if err := m.repo.SetAside(ctx, object); err != nil {
			return err
		}
	}
	for _, folder := range []struct {
		kind   seal.Type
		name   string
		action repo.Action
	}{{seal.Pin, "pins", repo.Pin}, {seal.Trash, "trash", repo.Undelete}, {seal.Damage, "damaged", ""}, {seal.Setting, "parity/settings", ""}, {seal.Setting, "epochs", ""}, {seal.Condemned, "condemned", ""}} {
		bad, err := m.repo.Unreadable(ctx, folder.kind, folder.name)
		if err != nil {
			return err
		}
		if folder.kind == seal.Condemned && len(bad) > 0 {
			if err := m.noCollection(ctx); err != nil {
				return err
			}
		}
		for _, object := range m.cleared { // what stood there may have been put over a record
			there, err := m.repo.HasObject(ctx, object)
			if err != nil {
				return err
			}
			if !there && strings.HasPrefix(object, folder.name+"/") {
				marks[object] = folder.action
			}
		}
		for _, object := range sorted(bad) {
			m.aside(object, bad[object])
			marks[object] = folder.action
			if m.options.DryRun {
				continue
			}
			if err := m.repo.SetAside(ctx, object); err != nil {
				return err
			}
		}
	}
	if m.options.DryRun {
		return nil
	}
	for _, object := range sorted(marks) {
		if strings.HasPrefix(object, "parity/") { // on, but nobody can tell any more how much
			if err := m.repo.SetParity(ctx, usualParity, m.options.Now()); err != nil {
				return err
			}
			continue
		}
		if strings.HasPrefix(object, "epochs/") {
			if err := m.repo.RenewEpoch(ctx, object, m.options.Now()); err != nil {
				return err
			}
			continue
		}
		if err := m.mark(ctx, object, marks[object]); err != nil {
			return err
		}
	}
	return nil
}

// noCollection refuses to change what collections have decided while one may be
// under way: it has read what now cannot be read.
func (m *mender) noCollection(ctx context.Context) error {
	open, err := m.repo.Sessions(ctx)
	if err != nil {
		return err
	}
	for _, s := range open {
		if s.Kind == repo.Collect || s.Kind == "" {
			return fmt.Errorf("a list of condemned packs is damaged, and a collection is open since %s on %s (session %s): repair when it has ended", s.Started, s.Process.Host, s.Name)
		}
	}
	return nil
}

// usualParity is the strength where the setting is lost, in percent.
const usualParity = 5

func (m *mender) mark(ctx context.Context, object string, action repo.Action) error {
	_, rest, _ := strings.Cut(object, "/")
	digits, _, _ := strings.Cut(rest, "/")
	name, err := repo.ParseName(digits)
	if err != nil || action == "" {
		return nil // it was no mark
	}
	if _, err = m.repo.Mark(ctx, name, action, m.options.Now()); errors.Is(err, repo.ErrPurged) {
		return nil // or its snapshot is gone
	}
	return err
}

func each(entries []tree.Entry) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}
