// Package repo is the repository: encrypted, deduplicating, shared by many
// hosts, kept in any storage that can create an object or fail.
//
// On create, a byte goes one way:
//
//	Put -> Cutter -> id -> known? -> done
//	                     \-> delta against the parent stream, or zstd, or raw
//	                          -> pack (sealed) -> storage -> index segment
//
// and on restore back: stream -> refs -> index -> pack -> open -> decompress ->
// apply -> compare the id.
//
// Invariants:
//
//  1. An object is durable before anything that refers to it is written: packs
//     before the segment that names them, segments before the snapshot.
//  2. A snapshot's name is that of the session which wrote it. Creating
//     snapshots/NAME is the commit; whoever comes second has lost.
//  3. Every base of a delta copy of depth d has a copy of depth less than d.
//  4. Bytes that a reader yields have been compared with their id.
//  5. Nothing is sealed twice under one key and nonce: every object and every
//     pack, each attempt of it, has a salt of its own.
//  6. A put returns, with an error too, when none of its chunks is on its way any
//     more: whoever met the same chunk later has left it to that one.
//
// Goroutines live inside Session.Write and end with it. All methods of
// Repository may be called from several goroutines.
package repo
