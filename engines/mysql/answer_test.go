package mysql

import (
	"strings"
	"testing"
	"time"

	"holdfast/engines"
	"holdfast/internal/testserver"
)

// A server that is stopped, or whose disk hangs, must not keep a snapshot that
// nobody watches waiting for ever.
func TestAServerThatNeverAnswersIsGivenUp(t *testing.T) {
	u := testserver.Mute(t, "mysql://shop@%s/shop")
	p, err := placeOf(engines.Service{Name: "shop", URL: u, Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if p.answer != engines.AnswerTimeout {
		t.Errorf("it is given %v", p.answer)
	}
	p.answer = 50 * time.Millisecond
	db, err := p.pool()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = p.connect(t.Context(), db, p.database, swapWait)
	if err == nil || !strings.Contains(err.Error(), u.Host+" takes the connection and has not answered in 50ms") {
		t.Errorf("it says: %v", err)
	}
}
