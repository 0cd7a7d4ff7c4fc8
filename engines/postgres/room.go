package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"holdfast/engines"
)

// room is where a restore builds the new data, and how it takes their place: in
// schemas of the same database, or in a database of its own. Either swaps in one
// transaction, in which the journal changes too: no restore can stop half way.
type room interface {
	// create makes an empty room in phase staging.
	create(ctx context.Context) error
	// define lets work execute statements, all or none, on a session that sees the
	// room's schemas under the names they will have.
	define(ctx context.Context, j *journal, work func(*session) error) error
	// extension is the statement to execute in place of a CREATE EXTENSION.
	extension(e extensionName, statement string) string
	// load opens a session that fills tables.
	load(ctx context.Context) (*session, error)
	// called is what a schema is called until the swap.
	called(j journal, schema string) string
	// finish is the last step of the staging, after which the phase is staged.
	finish(ctx context.Context, j journal) (notes []string, err error)

	swap(ctx context.Context, j journal) error
	revert(ctx context.Context, j journal) error
	discard(ctx context.Context, j journal) error
	retired(j journal) *retiredData
}

// journal is what a restore keeps with its room, as the comment on a schema or
// database, so that another process can go back or clean up.
type journal struct {
	Token string
	Phase string

	// Of schemas in the same database.
	Staged     []schemaName    `json:",omitempty"` // what they will be, or are, called, and are called in the room
	Retired    []schemaName    `json:",omitempty"`
	Extensions []extensionName `json:",omitempty"` // that belong in schemas which are swapped

	// Of a database.
	Created bool   `json:",omitempty"` // there was none
	Comment string `json:",omitempty"` // on the database, before

	Swapped time.Time
}

// extensionName is an extension and the schema it belongs in.
type extensionName struct{ Name, Schema string }

// The phases.
const (
	phaseStaging    = "staging"    // may be dropped at any time
	phaseStaged     = "staged"     // so may this; or it can be swapped
	phaseSwapped    = "swapped"    // revert is still possible
	phaseDiscarding = "discarding" // it is not any more
)

func (j journal) text() (string, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return "", fmt.Errorf("write the journal of restore %s: %w", j.Token, err)
	}
	return string(text), nil
}

// parseJournal reads a comment; one that is no journal gives none.
func parseJournal(comment string) (j journal, ok bool) {
	err := json.Unmarshal([]byte(comment), &j)
	return j, err == nil && engines.CheckToken(j.Token) == nil
}

// begun locks, and finds the room and the journal of the restore; nil where
// nothing was begun under the token.
func (t *target) begun(ctx context.Context) (room, journal, error) {
	if err := t.lock(ctx); err != nil {
		return nil, journal{}, err
	}
	for _, r := range []interface {
		room
		read(context.Context) (journal, bool, error)
	}{&schemas{t}, &database{target: t}} {
		j, found, err := r.read(ctx)
		if err != nil {
			return nil, j, err
		}
		if found && j.Token != t.token {
			return nil, j, fmt.Errorf("database %s holds what belongs to restore %s, not to %s", t.database, j.Token, t.token)
		}
		if _, whole := room(r).(*database); found && whole && t.server == nil {
			return nil, j, fmt.Errorf("database %s: restore %s can go on or back only from another database of the server: %w", t.database, t.token, t.refused)
		}
		if found {
			return r, j, nil
		}
	}
	return nil, journal{}, nil
}
