package redis

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast/engines"
	"holdfast/internal/testserver"
)

// A server that is stopped, or whose disk hangs, must not keep a snapshot that
// nobody watches waiting for ever.
func TestAServerThatNeverAnswersIsGivenUp(t *testing.T) {
	u := testserver.Mute(t, "redis://%s/0")
	p, err := placeOf(engines.Service{Name: "shop", URL: u, Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if p.answer != engines.AnswerTimeout {
		t.Errorf("it is given %v", p.answer)
	}
	p.answer = 50 * time.Millisecond
	_, err = p.connect(t.Context())
	if err == nil || !strings.Contains(err.Error(), u.Host+" takes the connection and has not answered in 50ms") {
		t.Errorf("it says: %v", err)
	}
}

// It may stop when it was told to fork at once, before those settings were put back.
func TestAServerThatStopsUnderTheMarkIsGivenUp(t *testing.T) {
	address := testserver.Mute(t, "redis://%s").Host
	network, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &source{place: place{address: address, answer: 50 * time.Millisecond}, control: newConn(network, address)}
	defer s.Close()
	set := make(chan error, 1)
	go func() { set <- s.set(context.Background(), settings) }()
	select {
	case err := <-set:
		if err == nil || !strings.Contains(err.Error(), address+" takes the connection and has not answered in 50ms") {
			t.Errorf("it says: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for")
	}
}
