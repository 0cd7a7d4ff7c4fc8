// Package snapshot takes snapshots of environments and restores them: it
// conducts engines, repository, activity and barrier, and does none of their
// work.
//
//	create:   Prepare -> hold -> Mark -> release -> Send -> commit
//	restore:  Plan -> Stage -> hold -> Swap -> release -> safety snapshot -> Discard
//
// Invariants:
//
//  1. A snapshot is published when all of it is durable, or not at all.
//  2. Current data changes only between the journal's "swapping" and its
//     "committed" or the end of a revert. The journal is durable before the data
//     follows it.
//  3. After a failure or a crash and one Recover the whole target is as before
//     or as restored, never a mixture.
//  4. Retired data is removed only once the safety snapshot that holds it is
//     committed, or when none was wanted.
//
// docs/restore.md tells the same as a story, with the table of what Recover does
// in each state.
package snapshot
