// Package quiesce holds a site's requests: they wait in front of it, in order
// and unread, while somebody looks at its data or replaces it, and then go on.
//
//	visitors -> Gate -> Proxy -> site
//	             ^
//	           Keeper -> Freezers, Record     one lease at a time
//	             ^
//	           Server <- control socket -> Client
//
// Gate is the state machine, Keeper what may happen to it, Server and Client the
// two ends of the control protocol. docs/quiesce.md has the states, the protocol
// and why nothing is dropped.
//
// All times are measured by the monotonic clock. The package knows nothing of
// snapshots.
package quiesce
