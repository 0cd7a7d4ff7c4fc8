// Package hold measures what visitors notice of a snapshot, and proves that what
// they wrote is in it whole.
//
// It has no code but tests, because the servers that it needs are the tests'. A
// site whose every change goes into MariaDB, PostgreSQL, Redis, SQLite and a
// directory, one after the other, stands behind a gate; visitors come at a fixed
// rate, whether it answers or not. So a snapshot that is not at one instant has
// sums that differ, and a request that was lost, refused or repeated is counted.
//
//	go test ./bench/hold                       a short run: is all of it right?
//	make bench-hold                            the figures of docs/quiesce.md
package hold
