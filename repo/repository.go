package repo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"holdfast/chunk"
	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/internal/seal"
	"holdfast/internal/storage"
)

// Repository is an open repository.
type Repository struct {
	store  *withdrawing
	root   *seal.Root
	keys   *seal.Keys
	config Config
	random io.Reader
	local  localIndex
	place  string // see Options
	index  *index.Index

	mostSuperseded int // segments that one is made to supersede

	hashers    sync.Pool
	cache      blobCache
	unreadable unreadable
	scratch    buffers
	decoders   decoders
	packs      openPacks
	reads      readCounter
	ahead      budget
}

// Options of Init and Open.
type Options struct {
	// CacheDir is where the local copy of the index may be kept; "" keeps none.
	CacheDir string
	// Place is where the storage is, as this machine calls it: a copy of a repository has its
	// id, and what is remembered of one is not said of the other.
	Place string
	// Random is the source of keys, salts and names: crypto/rand.Reader.
	Random io.Reader
}

// Secret opens a key slot: a password, or a machine's token.
type Secret struct {
	Password []byte
	Token    *seal.Token
}

// Slot describes a key slot to be made.
type Slot struct {
	Label string
	Cost  seal.Cost // of a password; the zero Cost is the default
	Now   time.Time
}

// Init makes a repository in an empty storage, with one key slot. Until the last
// step, the creation of config, there is none: an Init that was killed can be
// run again.
func Init(ctx context.Context, store storage.Storage, secret Secret, slot Slot, program string, o Options) (*Repository, error) {
	if _, err := store.Stat(ctx, "config"); err == nil {
		return nil, ErrExists
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	root, err := seal.NewRoot(o.Random)
	if err != nil {
		return nil, err
	}
	polynomial, err := chunk.NewPolynomial(o.Random)
	if err != nil {
		return nil, err
	}
	r := newRepository(store, root, o)
	r.config = Config{Polynomial: polynomial, Fine: DefaultFine, Coarse: DefaultCoarse, Created: slot.Now.UTC(), Program: program}
	if _, err := r.addKey(ctx, secret, slot); err != nil {
		return nil, err
	}
	err = r.create(ctx, seal.Config, "config", &r.config)
	if errors.Is(err, fs.ErrExist) {
		return nil, ErrExists
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Open opens a repository: ErrNoRepository, ErrWrongSecret, or a damaged or
// newer object by name.
func Open(ctx context.Context, store storage.Storage, secret Secret, o Options) (*Repository, error) {
	head, err := storage.ReadAll(ctx, store, "config", maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoRepository
	}
	if errors.Is(err, storage.ErrUnreadable) || errors.Is(err, storage.ErrTooLong) {
		err = &DamagedError{Object: "config", Err: err}
	}
	if err != nil {
		return nil, err
	}
	id, err := seal.ConfigHeader(head)
	if err != nil {
		return nil, fmt.Errorf("config: %w", versionOrDamaged(ctx, store, err))
	}
	root, err := unlock(ctx, store, id, secret)
	if err != nil {
		return nil, err
	}
	r := newRepository(store, root, o)
	if err := r.read(ctx, seal.Config, "config", &r.config); err != nil {
		return nil, err
	}
	if err := r.config.validate(); err != nil {
		return nil, &DamagedError{Object: "config", Err: err}
	}
	return r, nil
}

func newRepository(store storage.Storage, root *seal.Root, o Options) *Repository {
	r := &Repository{store: &withdrawing{Storage: store}, root: root, keys: seal.NewKeys(root, o.Random), random: o.Random}
	r.local.dir, r.local.room, r.index, r.place = o.CacheDir, inMemory, index.New(nil), o.Place
	r.mostSuperseded = index.MaxSuperseded
	r.ahead.left.Store(aheadBytes)
	r.hashers.New = func() any { return blob.NewHasher(r.idKey()) }
	return r
}

// Close releases the local copy of the index.
func (r *Repository) Close() error { return r.index.Close() }

// ID is the repository's id in hex; it is no secret.
func (r *Repository) ID() string { return r.root.Repository.String() }

func (r *Repository) idKey() blob.Key { return blob.Key(r.root.IDKey) }

func (r *Repository) sum(data []byte) blob.ID {
	h := r.hashers.Get().(*blob.Hasher)
	defer r.hashers.Put(h)
	return h.ID(data)
}

// Place is the name under leases/ that stands for an environment, and tells
// nothing about it without the key.
func (r *Repository) Place(project, environment string) string {
	id := r.sum([]byte("lease\x00" + project + "\x00" + environment))
	return hex.EncodeToString(id[:10])
}

func (r *Repository) decompress(dst, payload []byte, limit int) ([]byte, error) {
	return r.decoders.decompress(dst, payload, limit)
}

func (r *Repository) randomHex(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r.random, b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}
