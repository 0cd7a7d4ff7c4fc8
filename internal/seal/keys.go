package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"sync"
)

const (
	keySize   = 32
	saltSize  = 32
	nonceSize = 12

	// Overhead is what sealing adds to a blob or a frame: its tag, in bytes.
	Overhead = 16

	version = 1 // of every layout in this package
)

// Keys seals and opens a repository's objects and packs. It keeps the root
// record and derives everything else anew each time.
type Keys struct {
	root   Root
	mu     sync.Mutex // guards random, which need not be safe for concurrent use
	random io.Reader
	nonces sync.Pool // *[nonceSize]byte, so that sealing a blob allocates nothing
}

// NewKeys returns the keys of root, which it copies. Salts are drawn from random.
func NewKeys(root *Root, random io.Reader) *Keys {
	k := &Keys{root: *root, random: random}
	k.root.Epochs = slices.Clone(root.Epochs)
	k.nonces.New = func() any { return new([nonceSize]byte) }
	return k
}

// Repository returns the id of the repository whose keys these are.
func (k *Keys) Repository() RepositoryID { return k.root.Repository }

// IDKey returns the key of the BLAKE3 that names blobs.
func (k *Keys) IDKey() [32]byte { return k.root.IDKey }

// Newest returns the number of the epoch under which new objects are sealed.
func (k *Keys) Newest() uint32 { return uint32(len(k.root.Epochs)) }

func (k *Keys) drawSalt() (salt [saltSize]byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, err := io.ReadFull(k.random, salt[:]); err != nil {
		return salt, fmt.Errorf("draw a salt: %w", err)
	}
	return salt, nil
}

// derive returns the cipher that belongs to an epoch, a salt and what is to be
// sealed.
func (k *Keys) derive(epoch uint32, salt []byte, info string) (cipher.AEAD, error) {
	if epoch == 0 {
		return nil, damaged("epoch 0")
	}
	if epoch > k.Newest() {
		return nil, &EpochError{Epoch: epoch, Newest: k.Newest()}
	}
	return expand(k.root.Epochs[epoch-1].Key[:], salt, info)
}

func expand(secret, salt []byte, info string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, salt, info, keySize)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	return newGCM(key)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("set up AES: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("set up AES-GCM: %w", err)
	}
	return aead, nil
}
