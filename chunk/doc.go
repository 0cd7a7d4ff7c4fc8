// Package chunk cuts streams at points that depend on their contents only, so
// that equal parts of two streams become equal chunks wherever they stand.
//
// The cut points are exactly those of restic/chunker v0.4.0, and a Cutter finds
// them several times faster.
//
// # The cut points
//
// Bytes are read as polynomials over GF(2), the first bit the highest power,
// and P is the repository's secret irreducible polynomial of degree 53. The
// digest of the 64 bytes (the window) that end at position p of a chunk is
//
//	D(p) = data[p-64]·x^504 + ... + data[p-2]·x^8 + data[p-1]  mod P
//
// A chunk is as long as the smallest p for which
//
//	Min <= p and the lowest log2(Average) bits of D(p) are zero, or p = Max,
//
// or as what is left of the stream if there is no such p.
//
// # Why that is what restic/chunker does
//
// It keeps a ring of the last 64 bytes and a running digest: a byte that comes
// in multiplies the digest by x^8 and is added, the byte that falls out of the
// ring is subtracted. After a cut it fills the ring with 63 zeros and a byte 1,
// skips Min-64 bytes unread, and takes no cut before Min bytes have gone by. So
// at the first position where it may cut, just 64 bytes of the chunk have come
// in: all zeros and the 1 have fallen out, and the digest is D(Min), whatever
// was before. The same holds from there on. (With Min below 64 the 1 would
// still be inside; Sizes.Validate forbids that.)
//
// # Why that can be computed faster
//
// D(p) depends on nothing but 64 bytes. So "the lowest bits of D(p) are zero"
// is a property of each position alone, wherever its chunk begins, and the
// positions may be looked at in any order. One running digest is bound by the
// time from one table look-up to the next; several digests that run side by
// side in different parts of the data (lanes) are not. A lane costs 64 bytes of
// warming up, and what is scanned behind a cut is scanned in vain; so lanes
// scan blocks that are large against 64 bytes and small against Min.
//
// The first legal position, p = Min, is looked at alone before any block: where
// it is the cut, as everywhere in a run of zeros, no block is begun.
//
// There are three ways to look, and the tests hold them to restic/chunker and to
// each other: alone (finder), for tiny chunks and what is left behind the blocks;
// in four lanes; and in 32 lanes where the machine has AVX2 (vector). The build
// tag purego leaves the last one out.
package chunk
