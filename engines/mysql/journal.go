package mysql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// journal is what a restore keeps with its staged data, so that another process
// can go back or clean up. It says what was planned; how far that came is asked
// of the database itself, wherever it can be.
type journal struct {
	Token string
	Phase string

	// What is staged.
	Tables                   []string // in the staging database, later the current one
	Objects                  []object // created when the tables are current
	NewCharset, NewCollation string
	Defaults                 []string // ALTER TABLE …: defaults that name a sequence by its database
	// Accounts are those that this restore has created, or was about to when it died:
	// USER `name`@`host`, ROLE `name`. They are staged, too.
	Accounts []string `json:",omitempty"`
	Grants   []string `json:",omitempty"` // to these, on tables and routines that must be there first

	// What was current when the swap began.
	Created            bool // nothing: the database did not exist
	OldTables          []string
	Old                []object
	Charset, Collation string
	Swapped            time.Time
}

// The phases.
const (
	phaseStaging    = "staging"    // may be dropped at any time
	phaseStaged     = "staged"     // so may this; or it can be swapped
	phaseSwapping   = "swapping"   // current data may be a mixture: revert
	phaseSwapped    = "swapped"    // revert is still possible
	phaseDiscarding = "discarding" // it is not any more
)

// journalTable is where the journal is: no table of a snapshot has this name.
func (t *target) journalTable() string { return "_holdfast_restore_" + t.token }

func (t *target) journalName() string { return quote(t.staging) + "." + quote(t.journalTable()) }

// createStaging creates the staging database with an empty journal in it.
func (t *target) createStaging(ctx context.Context) error {
	err := t.do(ctx, "CREATE DATABASE "+quote(t.staging),
		"CREATE TABLE "+t.journalName()+" (id INT NOT NULL PRIMARY KEY, body LONGBLOB NOT NULL) ENGINE=InnoDB")
	if err != nil {
		return err
	}
	return t.writeJournal(ctx, journal{Phase: phaseStaging})
}

func (t *target) writeJournal(ctx context.Context, j journal) error {
	j.Token = t.token
	body, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("write the journal of restore %s: %w", t.token, err)
	}
	if t.step != nil {
		if err := t.step("journal " + j.Phase); err != nil {
			return err
		}
	}
	return t.control.exec(ctx, "REPLACE INTO "+t.journalName()+" VALUES (1, ?)", body)
}

// keepJournal makes the journal outlive the server. Rows do only where that writes its log at
// every commit (innodb_flush_log_at_trx_commit), but a table that is made anew is in it
// at once, with all that was done before. What MariaDB drops of triggers and views is gone at once, too.
func (t *target) keepJournal(ctx context.Context) error {
	return t.do(ctx, "ALTER TABLE "+t.journalName()+" FORCE, ALGORITHM = INPLACE")
}

// readJournal returns found false where nothing was staged under the token, or no
// further than an empty database.
func (t *target) readJournal(ctx context.Context) (j journal, found bool, err error) {
	if found, err = t.exists(ctx, t.staging); err != nil || !found {
		return j, false, err
	}
	var body []byte
	err = t.control.one(ctx, "SELECT body FROM "+t.journalName()+" WHERE id = 1", &body)
	if errors.Is(err, sql.ErrNoRows) || number(err) == errNoSuchTable {
		return j, false, nil
	}
	if err != nil {
		return j, false, err
	}
	if err := json.Unmarshal(body, &j); err != nil {
		return j, false, fmt.Errorf("the journal of restore %s in database %s is damaged: %w", t.token, t.staging, err)
	}
	if j.Token != t.token {
		return j, false, fmt.Errorf("database %s belongs to restore %s, not to %s", t.staging, j.Token, t.token)
	}
	return j, true, nil
}
