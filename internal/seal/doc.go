// Package seal encrypts and authenticates everything a repository stores. The
// layouts are specified in docs/format.md, sections 1 to 4.
//
//	password -Argon2id-\
//	                    key slot -> Root: repository id, id key, epochs
//	token ------HKDF---/                                           |
//	                                             NewKeys ----------/
//	                                              |   |
//	     HKDF(data key, fresh salt, what it is) --/   \-- the same, once per pack
//	              |                                                |
//	     object: frames of 64 KiB                     pack: blobs and a directory
//
// Invariants:
//
//  1. No key meets one nonce twice: every object, pack and slot, and every
//     attempt at one, has a salt of its own, and below it nonces count.
//  2. What opens is what was sealed: repository, object name, type, version,
//     epoch, place of a frame and its being the last are all bound to the tag.
//     An object that was cut, changed or put in another's place gives an error.
//  3. Decoders are total: any bytes give a value or an error, and no length is
//     believed before it was compared with what is there.
//  4. No error and no text form carries a key or a password. Token.String is the
//     one exception, because it is how a token is handed over.
//
// Keys and PackCipher may be used from several goroutines at once. The package
// starts none.
package seal
