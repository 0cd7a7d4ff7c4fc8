// Package redis captures and restores the data of a Redis or Valkey server: one
// of its numbered databases, or all of them with the libraries of functions.
//
// # What stands in a snapshot
//
// For a service called cache, one file, cache.rdb: a dump in the server's own
// format (version and types as the server sent them), which any server of that
// version or later loads at its start:
//
//	holdfast snapshot cat ID cache.rdb > /var/lib/redis/dump.rdb
//
// # Create
//
//	Prepare   privileges; waits for a save or rewrite that would delay the fork
//	Mark      PSYNC: the server forks, and answers +FULLRESYNC
//	Send      what the fork writes, sorted
//
// The server treats us as a replica that wants the first synchronisation alone. It
// sends its data over the connection; nothing is written to its disk. A user who may
// not do that asks for keys, one after the other: see keysReader.
//
// # Order
//
// A server writes keys in the order of its hash tables, which is another one after
// every restart. So all is sorted: keys in their database, members of sets and
// fields of hashes in their value. That takes memory, bounded by sortMemory: beyond
// it the file consists of several sorted runs. Counters, times and identities that
// the server puts into every dump are left out.
//
// # Restore
//
// Each database is built in a free number of the same server, where a key called
// holdfast:restore says to whom it belongs. Swap exchanges the numbers by SWAPDB,
// all in one MULTI with the change of those keys; then the free number holds what
// was replaced. Discard empties it.
//
// # Invariants
//
//  1. The point is not older than the mark: the replication offset that comes with
//     the fork is compared with that of the moment before.
//  2. A dump is read to its end and its checksum compared before Send returns; a value
//     of which the length cannot be known is refused, never guessed.
//  3. How far a restore came is read from its keys, which change with the data in
//     one transaction.
//  4. All that changes data is sent over the connection whose name is the lock, and
//     nobody begins while a connection of that name exists: so none can still arrive.
//  5. Building stops before memory does: the server never has to evict for it.
//  6. No password is ever part of an error.
//
// Goroutines: from Mark to the end of Send or to Close one reads ahead; it never
// touches the sink.
package redis
