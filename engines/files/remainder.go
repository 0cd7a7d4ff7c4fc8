package files

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/engines"
)

// remainder stores what changed since Prepare looked. Where the kernel told what
// was touched only that is looked at, else everything.
func (s *source) remainder(ctx context.Context, sink engines.Sink) (*engines.Result, error) {
	if s.watch != nil {
		var touched *touch
		if touched, s.blind = s.touched(); s.blind == nil {
			result, err := s.lookAt(ctx, sink, touched)
			if !errors.Is(err, errLinked) && !errors.Is(err, errReplaced) {
				s.byEvents = err == nil
				return result, err
			}
			s.blind = err
		}
	}
	result, err := s.again(ctx, sink, wholeTree)
	if err == nil && s.blind != nil && !s.unheld {
		result.Notes = append(result.Notes, fmt.Sprintf("%s: every file was looked at under the hold: %v", s.name, s.blind))
	}
	return result, err
}

// mostLooks bounds how often what was touched is looked at where nothing is held, as
// atOnce does for how long.
const mostLooks = 10

// lookAt looks at what was touched. Where nothing is held, something may have been moved
// past that look, too: then it looks again, at what was touched meanwhile as well.
func (s *source) lookAt(ctx context.Context, sink engines.Sink, touched *touch) (*engines.Result, error) {
	began := s.now()
	for looks := 1; ; looks++ {
		result, err := s.again(ctx, sink, touched)
		if err != nil || !s.unheld || !s.watch.anyWent() {
			return result, err
		}
		more, blind := s.watch.take()
		if blind != nil || looks == mostLooks || s.now().Sub(began) >= atOnce {
			result.Notes = append(result.Notes, s.name+": files were moved each time it was looked at; one that was moved last may be missing, or in two places")
			return result, nil
		}
		touched.join(more)
	}
}

// readFrozen stores what changed between Prepare's walk and the snapshot.
func (s *source) readFrozen(ctx context.Context, sink engines.Sink) (err error) {
	s.result, err = s.walk(ctx, sink, s.frozen.root, &s.precopy.Entries[0], pass{last: true, remainder: true, frozen: true, touched: wholeTree})
	return err
}

// again looks at what was touched. What was not is as the first walk found it.
func (s *source) again(ctx context.Context, sink engines.Sink, touched *touch) (*engines.Result, error) {
	root, replaced, err := s.reopen()
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	if replaced {
		if touched != wholeTree {
			return nil, errReplaced
		}
		s.started = everything() // what has come may lie on a filesystem that was not synced
	}
	result, err := s.walk(ctx, sink, root, &s.precopy.Entries[0], pass{last: true, remainder: true, touched: touched})
	if err != nil || touched == wholeTree {
		return result, err
	}
	result.Notes = append(result.Notes, s.precopy.Notes...)
	slices.Sort(result.Notes)
	result.Notes = slices.Compact(result.Notes)
	return result, nil
}

// touched is all that must be looked at again.
func (s *source) touched() (*touch, error) {
	mapped, err := s.mapped()
	if err != nil {
		return nil, err
	}
	for _, l := range s.precopy.Losses { // perhaps it can be read now
		s.watch.touch(strings.TrimPrefix(strings.TrimPrefix(l.Path, s.name), "/"))
	}
	for _, p := range mapped {
		s.watch.touch(p)
	}
	return s.watch.take()
}

// mapped lists the files of the mount that are mapped by somebody who may write
// without a system call, counted from the mount.
func (s *source) mapped() ([]string, error) {
	root, err := s.open()
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	st, err := statAt(root, "")
	if err != nil {
		return nil, err
	}
	all, err := mappedFiles("/proc", unix.Mkdev(unix.Major(st.dev), unix.Minor(st.dev)))
	if err != nil {
		return nil, err
	}
	var within []string
	for _, mount := range spellings(s.path) {
		for _, p := range all {
			if rest, ok := strings.CutPrefix(p, filepath.Clean(mount)+"/"); ok {
				within = append(within, rest)
			}
		}
	}
	return within, nil
}
