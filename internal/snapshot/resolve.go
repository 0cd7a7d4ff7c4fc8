package snapshot

import (
	"fmt"
	"slices"
	"strings"

	"holdfast/repo"
)

// minPrefix is the shortest part of a name that may stand for it, in digits.
const minPrefix = 6

// DeletedError says that what was meant is in the trash.
type DeletedError struct{ Snapshot repo.Listed }

func (e *DeletedError) Error() string {
	return fmt.Sprintf("snapshot %s of %s/%s was deleted", e.Snapshot.Name, e.Snapshot.Project, e.Snapshot.Environment)
}

// Resolve finds the snapshot that name stands for: a whole name, an unambiguous
// prefix of six digits or more, or "latest" (also ""), the newest of the
// environment that is no safety snapshot. Deleted ones are found by their whole name only; a part of it is a DeletedError.
func Resolve(all []repo.Listed, project, environment, name string) (repo.Listed, error) {
	if name == "" || name == "latest" {
		return latest(all, project, environment)
	}
	name = strings.ToLower(name)
	if strings.Trim(name, "0123456789abcdef") != "" || len(name) > 20 || len(name) < minPrefix {
		return repo.Listed{}, fmt.Errorf("%q: %w; a name has 20 hex digits, of which six are enough if they are unambiguous, or is \"latest\"", name, repo.ErrNoSnapshot)
	}
	var found, deleted []repo.Listed
	for _, s := range all {
		switch {
		case !strings.HasPrefix(s.Name.String(), name):
		case s.Deleted.IsZero() || len(name) == 20:
			found = append(found, s)
		default:
			deleted = append(deleted, s)
		}
	}
	switch len(found) {
	case 0:
		if len(deleted) > 0 {
			return repo.Listed{}, &DeletedError{deleted[0]}
		}
		return repo.Listed{}, fmt.Errorf("%s: %w; \"holdfast snapshot list --all\" shows what there is", name, repo.ErrNoSnapshot)
	case 1:
		return found[0], nil
	}
	err := &repo.AmbiguousError{Prefix: name}
	for _, s := range found {
		err.Names = append(err.Names, s.Name)
	}
	return repo.Listed{}, err
}

func latest(all []repo.Listed, project, environment string) (repo.Listed, error) {
	for _, s := range slices.Backward(all) { // oldest first
		if s.Deleted.IsZero() && s.Restore.IsZero() && (project == "" || s.Project == project) && (environment == "" || s.Environment == environment) {
			return s, nil
		}
	}
	return repo.Listed{}, noneYet(environment)
}

// noneYet is the name of an environment without a snapshot, "" for a whole repository. It is
// a repo.ErrNoSnapshot.
type noneYet string

func (e noneYet) Error() string {
	if e == "" {
		return "the repository has no snapshot yet"
	}
	return fmt.Sprintf("the environment %s has no snapshot yet", string(e))
}

func (noneYet) Is(target error) bool { return target == repo.ErrNoSnapshot }
