package mysql

import (
	"strings"
	"testing"
)

// forgetful servers write their log once in a while and not at every commit, so that what
// was done last is lost with them. A loss of power does so where it is 2, too.
var forgetful = []string{"--innodb-flush-log-at-trx-commit=0", "--innodb-flush-log-at-timeout=2700"}

// What is dropped before the tables are renamed is in no log of InnoDB's: the journal,
// without which it cannot come back, must be there when that is gone.
func TestAForgetfulServerDiesInASwap(t *testing.T) {
	for _, when := range []string{"DROP TRIGGER", "RENAME TABLE", "CREATE OR REPLACE", "journal swapped"} {
		t.Run(when, func(t *testing.T) {
			s, before, memory, entries := shopWithTriggers(t, forgetful...)
			target := s.stage(memory, entries)
			dropped := false
			target.step = func(statement string) error {
				if strings.HasPrefix(statement, when) || dropped && when == "DROP TRIGGER" {
					if dropped = !dropped; dropped && when == "DROP TRIGGER" {
						return nil // it dies behind the first one
					}
					s.server.Kill()
					return errStop
				}
				return nil
			}
			if err := target.Swap(t.Context()); err == nil {
				t.Fatal("it does not come by")
			}
			s.must(target.Close())
			s.server.Start()
			again := s.target("root", "", "shop", testToken)
			s.must(again.Revert(t.Context()))
			s.same(before, s.dump("shop"), "after the revert")
			s.must(again.Discard(t.Context()))
			s.must(again.Close())
		})
	}
}

// The swap is done, and the server has lost that the journal says so.
func TestAForgetfulServerDiesAfterASwap(t *testing.T) {
	s, before, memory, entries := shopWithTriggers(t, forgetful...)
	target := s.stage(memory, entries)
	s.must(target.Swap(t.Context()))
	s.must(target.Close())
	after := s.dump("shop")
	s.server.Kill()
	s.server.Start()

	again := s.target("root", "", "shop", testToken)
	retired, err := again.Retired(t.Context())
	s.must(err)
	s.must(retired.Close())
	s.must(again.Discard(t.Context()))
	s.must(again.Close())
	s.same(after, s.dump("shop"), "after the discard")
	if after == before {
		t.Error("nothing was swapped")
	}
}
