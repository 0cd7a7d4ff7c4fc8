// Package index finds blobs: which packs hold a blob, where, and as what.
//
//	pack entries -> Builder -> segment (an object of the repository; docs/format.md, 5)
//	segments -> Build -> Copy (a bbolt file in the user's cache, disposable)
//	Copy + newer Segments -> Index: Has, Lookup
//
// A Segment is searched by reading the few rows around the place where an id is
// to be expected, from memory or from a sealed object in a distant storage alike;
// of one that is not in memory a filter tells most of what it does not have.
// A Copy is the same rows of all segments, merged, in memory that the system maps
// from the file. So both answer without a goroutine, and Has without an
// allocation.
//
// Invariants:
//
//  1. A lookup returns every copy of a blob, lowest depth first; of more than 64
//     in one segment, the 64 of lowest depth.
//  2. A segment is canonical: the same packs and entries give the same bytes.
//  3. Decoders are total: a row is checked when it is used, everything else when
//     a segment is opened, and nothing is allocated by a count that its size does
//     not bear out.
//  4. A published Copy is never written again: it is built beside and renamed into
//     place. Its file is only ever opened read-only, so no reader waits for a lock.
//  5. What a damaged Copy says is an error (ErrNoCopy), never a wrong place: every
//     4 KiB of it carry a checksum.
//
// Segment, Copy and Index may be used from several goroutines at once; a Builder
// serves one.
package index
