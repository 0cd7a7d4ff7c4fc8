package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"holdfast/repo"
)

// State is how far a restore has come. Each is durable before what it allows.
type State string

const (
	// Staging: data is being built beside the current data. Recovery discards.
	Staging State = "staging"
	// Prepared: all is staged, verified and durable. Recovery discards.
	Prepared State = "prepared"
	// Swapping: some parts may have been swapped. Recovery swaps back, then discards.
	Swapping State = "swapping"
	// Committed: the decision has fallen; the restored data is current. Recovery
	// sends the safety snapshot if there is to be one, then discards.
	Committed State = "committed"
)

// Journal is the swap journal of one restore. It lives beside holdfast.yaml, in
// .holdfast/PROJECT-ENVIRONMENT/restore.json, as long as anything of the restore
// is left to do.
type Journal struct {
	Version     int       `json:"version"`
	State       State     `json:"state"`
	Token       string    `json:"token"`    // names all that is staged or retired; the session's name
	Snapshot    repo.Name `json:"snapshot"` // what is being restored
	Project     string    `json:"project"`
	Environment string    `json:"environment"` // the target
	Started     time.Time `json:"started"`
	// Parts are the names in the order in which they are swapped.
	Parts   []string `json:"parts"`
	Subpath string   `json:"subpath,omitempty"`
	// SubpathBytes is Subpath on the disk where that is not UTF-8, which JSON cannot hold.
	SubpathBytes []byte `json:"subpath_bytes,omitempty"`
	// Retires lists those parts that put data aside when they are swapped.
	Retires []string `json:"retires,omitempty"`
	// Discarding is set, in Swapping, once all parts were swapped back: what they had staged
	// may be gone since then, and is not missed.
	Discarding bool `json:"discarding,omitempty"`
	// Held is set, from Swapping on, when requests were held for the swap: they wait until
	// a recovery. Without it visitors write meanwhile, also to what undoing discards.
	Held bool `json:"held,omitempty"`
	// Safety is set when a safety snapshot is wanted.
	Safety bool `json:"safety"`
	// Sending is the name under which a recovery sends it, whose session is not the
	// restore's: whoever comes next asks whether it was committed. The restore itself
	// sends it under its token.
	Sending repo.Name `json:"sending,omitzero"`
	// Saved is that snapshot once it is committed: what was retired may be gone in part
	// since then, and is not asked for again.
	Saved repo.Name `json:"saved,omitzero"`
	// Config is the absolute path of the configuration that the restore was begun with.
	// Another one beside it may name users who may not finish it.
	Config string `json:"config,omitempty"`
}

const journalVersion = 1

// Mixed reports whether some parts may be as restored, and others as before.
func (j *Journal) Mixed() bool { return j.State == Swapping && !j.Discarding }

// LosesWrites reports whether undoing drops what was written meanwhile to parts that had
// been swapped.
func (j *Journal) LosesWrites() bool { return j.State == Swapping && !j.Held }

// Place is where an environment's journal and lock are.
type Place struct{ dir string }

// PlaceOf returns the place for an environment defined in a configuration file
// of directory base.
func PlaceOf(base, project, environment string) Place {
	return Place{filepath.Join(base, ".holdfast", project+"-"+environment)}
}

func (p Place) journal() string { return filepath.Join(p.dir, "restore.json") }

// next is the journal while it is being written; it counts once it is renamed.
func (p Place) next() string { return p.journal() + ".new" }

// ErrLocked: another process on this machine is changing the environment.
var ErrLocked = errors.New("another process is working on this environment; wait for it, or see \"holdfast snapshot list --all\"")

// Lock keeps other processes of this machine from changing the environment,
// however long this one sleeps.
func (p Place) Lock() (unlock func(), err error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the place for the restore journal, which must be beside holdfast.yaml: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(p.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the environment: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("lock the environment: %w", err)
	}
	return func() { f.Close() }, nil
}

// Interrupted returns the journal of a restore that is not done and that no process
// is working on; nil if there is none.
func (p Place) Interrupted() (*Journal, error) {
	j, err := p.Load()
	if j == nil || err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(p.dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("look at the environment's lock: %w", err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return nil, nil
	}
	return j, nil
}

// Load returns the journal of a restore that is not done, or nil.
func (p Place) Load() (*Journal, error) {
	data, err := os.ReadFile(p.journal())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the restore journal: %w", err)
	}
	j := &Journal{}
	if err := json.Unmarshal(data, j); err != nil || j.Token == "" {
		return nil, fmt.Errorf("the restore journal %s cannot be read (%v); the environment may hold half a restore: keep the file and ask for help", p.journal(), err)
	}
	if j.Version != journalVersion {
		return nil, fmt.Errorf("the restore journal %s is of version %d, this program knows %d; recover with the program that wrote it", p.journal(), j.Version, journalVersion)
	}
	if len(j.SubpathBytes) > 0 {
		j.Subpath, j.SubpathBytes = string(j.SubpathBytes), nil
	}
	switch j.State {
	case Staging, Prepared, Swapping, Committed:
		return j, nil
	}
	return nil, fmt.Errorf("the restore journal %s has the unknown state %q", p.journal(), j.State)
}

// Store makes j durable.
func (p Place) Store(j *Journal) error {
	j.Version = journalVersion
	stored := *j
	if !utf8.ValidString(j.Subpath) {
		stored.SubpathBytes = []byte(j.Subpath)
	}
	data, err := json.MarshalIndent(stored, "", "  ")
	if err != nil {
		return err
	}
	if err := p.replace(data); err != nil {
		return fmt.Errorf("write the restore journal: %w", err)
	}
	return nil
}

func (p Place) replace(data []byte) error {
	next := p.next()
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(next, p.journal())
	}
	if err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return syncDir(p.dir)
}

// Remove ends the journal: nothing is left to do.
func (p Place) Remove() error {
	if err := os.Remove(p.journal()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the restore journal: %w", err)
	}
	return errors.Join(p.clear(), syncDir(p.dir))
}

// clear removes what a process left that was killed while it wrote the journal.
func (p Place) clear() error {
	if err := os.Remove(p.next()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an unfinished restore journal: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
