package engines

import (
	"context"
	"fmt"
	"time"
)

// AnswerTimeout bounds how long a server may take to its first answer. A loaded
// one takes seconds; one that is stopped, or whose disk hangs, keeps a connection
// open and never says a word.
const AnswerTimeout = time.Minute

// Answering returns a context for connecting and the first exchange with a server,
// which ends after limit. Its cause then says so of at, which names the server.
func Answering(ctx context.Context, at string, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s takes the connection and has not answered in %v: "+
		"is it stopped or overloaded, is its disk full, or does something else listen there?", at, limit))
}
