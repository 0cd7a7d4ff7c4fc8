// Package blake3 computes BLAKE3 hashes of 32 bytes, plain and keyed, as
// github.com/zeebo/blake3 does, which stays the reference, and what hashes short
// inputs and on processors without AVX-512.
//
// Where there is AVX-512, sixteen chunks of 1 KiB are hashed at once, one in each
// part of a register, and so are sixteen parents of the tree above them. That takes
// about half the time of AVX2, which knows eight, and hashing is what a snapshot
// does most after compressing.
//
// Source: https://github.com/BLAKE3-team/BLAKE3-specs, sections 2.1 to 2.5.
package blake3
