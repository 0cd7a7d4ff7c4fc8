package seal

import (
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// SlotKind is what opens a key slot. Its numbers are part of the format.
type SlotKind uint8

// The kinds.
const (
	PasswordSlot SlotKind = 1
	TokenSlot    SlotKind = 2
)

// String returns the kind in a word.
func (k SlotKind) String() string {
	switch k {
	case PasswordSlot:
		return "password"
	case TokenSlot:
		return "token"
	}
	return fmt.Sprintf("slot kind %d", uint8(k))
}

// SlotInfo is what a key slot says of itself to whoever has no key. Only opening
// the slot proves it.
type SlotInfo struct {
	Kind       SlotKind
	Label      string    // for people; printable
	Created    time.Time // UTC, whole seconds
	Repository RepositoryID
	Epochs     uint32 // of the root record: a slot that has fewer than another was written before a rotation
}

// Cost is what one Argon2id takes.
type Cost struct {
	Memory uint32 // KiB
	Passes uint32
	Lanes  uint8
}

// DefaultCost is the second choice of RFC 9106, section 4.
var DefaultCost = Cost{Memory: 64 << 10, Passes: 3, Lanes: 4}

// The most that a slot may ask for. Nothing proves a slot before Argon2id ran,
// so these bound what a forged one can make a reader spend.
const (
	maxMemory = 1 << 20 // KiB
	maxPasses = 64
	maxLanes  = 64
)

const (
	slotMagic   = "HFKY"
	slotHeader  = 82 // bytes before the label
	slotName    = 16 // bytes that a slot's name is hex of
	maxLabel    = 255
	maxCreated  = 253402300799 // the last second of year 9999, which every text form can write
	minRootSize = 92           // bytes of a root record with one epoch

	// MaxSlotSize bounds the length of a key slot in bytes: a root record of the
	// most epochs there can be.
	MaxSlotSize = 4 << 20
)

// SealPassword returns the key slot that opens with a password. slot is its
// name, 32 hex digits; created is kept in whole seconds.
func SealPassword(root *Root, slot, label string, password []byte, cost Cost, created time.Time, random io.Reader) ([]byte, error) {
	if len(password) == 0 {
		return nil, errors.New("write a key slot: the password is empty")
	}
	h := slotRecord{kind: PasswordSlot, cost: cost, label: label, created: created.Unix(), repository: root.Repository}
	return h.seal(root, slot, random, func() (cipher.AEAD, error) { return h.passwordKey(password) })
}

// SealToken returns the key slot that opens with a token.
func SealToken(root *Root, slot, label string, token Token, created time.Time, random io.Reader) ([]byte, error) {
	h := slotRecord{kind: TokenSlot, label: label, created: created.Unix(), repository: root.Repository}
	return h.seal(root, slot, random, func() (cipher.AEAD, error) { return h.tokenKey(token) })
}

// ParseSlot reads what a key slot says of itself.
func ParseSlot(object []byte) (SlotInfo, error) {
	h, err := parseSlot(object)
	if err != nil {
		return SlotInfo{}, fmt.Errorf("key slot: %w", err)
	}
	return SlotInfo{
		Kind:       h.kind,
		Label:      h.label,
		Created:    time.Unix(h.created, 0).UTC(),
		Repository: h.repository,
		Epochs:     h.epochs,
	}, nil
}

// OpenPassword returns the root record of a password's slot; ErrWrongKey if the
// password is not the slot's. It takes the time and memory of one Argon2id.
func OpenPassword(slot string, object, password []byte) (*Root, error) {
	return openSlot(slot, object, PasswordSlot, func(h *slotRecord) (cipher.AEAD, error) { return h.passwordKey(password) })
}

// OpenToken returns the root record of a token's slot; ErrWrongKey if the token
// is not the slot's.
func OpenToken(slot string, object []byte, token Token) (*Root, error) {
	return openSlot(slot, object, TokenSlot, func(h *slotRecord) (cipher.AEAD, error) { return h.tokenKey(token) })
}

func openSlot(slot string, object []byte, kind SlotKind, key func(*slotRecord) (cipher.AEAD, error)) (*Root, error) {
	root, err := func() (*Root, error) {
		if err := checkSlotName(slot); err != nil {
			return nil, err
		}
		h, err := parseSlot(object)
		if err != nil {
			return nil, err
		}
		if h.kind != kind {
			return nil, fmt.Errorf("it opens with a %s: %w", h.kind, ErrWrongKey)
		}
		aead, err := key(&h)
		if err != nil {
			return nil, err
		}
		size := slotHeader + len(h.label)
		plain, err := aead.Open(nil, make([]byte, nonceSize), object[size:], slotData(object[:size], slot))
		if err != nil {
			return nil, ErrWrongKey
		}
		root, err := ParseRoot(plain)
		if err == nil && root.Repository != h.repository {
			err = damaged("root record of repository %s", root.Repository)
		}
		if err == nil && len(root.Epochs) != int(h.epochs) {
			err = damaged("root record of %d epochs", len(root.Epochs))
		}
		return root, err
	}()
	if err != nil {
		return nil, fmt.Errorf("key slot %s: %w", slot, err)
	}
	return root, nil
}

// slotRecord is a key slot without its sealed part.
type slotRecord struct {
	kind       SlotKind
	repository RepositoryID
	salt       [saltSize]byte
	cost       Cost // zero for a token
	epochs     uint32
	created    int64
	label      string
}

func (h *slotRecord) seal(root *Root, slot string, random io.Reader, key func() (cipher.AEAD, error)) ([]byte, error) {
	h.epochs = uint32(len(root.Epochs))
	sealed, err := func() ([]byte, error) {
		if err := errors.Join(checkSlotName(slot), h.validate()); err != nil {
			return nil, err
		}
		plain, err := root.Marshal()
		if err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(random, h.salt[:]); err != nil {
			return nil, fmt.Errorf("draw a salt: %w", err)
		}
		aead, err := key()
		if err != nil {
			return nil, err
		}
		object := h.append(nil)
		// The salt makes the key new, so that it meets the zero nonce once.
		return aead.Seal(object, make([]byte, nonceSize), plain, slotData(object, slot)), nil
	}()
	if err != nil {
		return nil, fmt.Errorf("write key slot %s: %w", slot, err)
	}
	return sealed, nil
}

// slotData is the additional data: all before the sealed part, and the name.
func slotData(head []byte, slot string) []byte {
	return append(head[:len(head):len(head)], slot...)
}

func (h *slotRecord) passwordKey(password []byte) (cipher.AEAD, error) {
	key := argon2.IDKey(password, h.salt[:], h.cost.Passes, h.cost.Memory, h.cost.Lanes, keySize)
	// What Argon2id filled is garbage now; whatever runs next shall not grow its
	// heap on top of it.
	if h.cost.Memory >= DefaultCost.Memory {
		debug.FreeOSMemory()
	}
	return newGCM(key)
}

func (h *slotRecord) tokenKey(token Token) (cipher.AEAD, error) {
	return expand(token[:], h.salt[:], "holdfast token")
}

func (h *slotRecord) append(dst []byte) []byte {
	dst = append(dst, slotMagic...)
	dst = append(dst, byte(h.kind), version, 0, 0)
	dst = append(dst, h.repository[:]...)
	dst = append(dst, h.salt[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, h.cost.Memory)
	dst = binary.LittleEndian.AppendUint32(dst, h.cost.Passes)
	dst = append(dst, h.cost.Lanes, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, h.epochs)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.created))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(h.label)))
	return append(dst, h.label...)
}

func parseSlot(object []byte) (slotRecord, error) {
	if len(object) < slotHeader {
		return slotRecord{}, damaged("%d bytes, shorter than a header", len(object))
	}
	if len(object) > MaxSlotSize {
		return slotRecord{}, damaged("%d bytes, more than %d", len(object), MaxSlotSize)
	}
	if err := checkVersion(slotMagic, object[:4], object[5]); err != nil {
		return slotRecord{}, err
	}
	if binary.LittleEndian.Uint16(object[6:]) != 0 || binary.LittleEndian.Uint32(object[64:])>>8 != 0 {
		return slotRecord{}, damaged("bytes of the header that are zero in version %d are not", version)
	}
	label := int(binary.LittleEndian.Uint16(object[80:]))
	if label > maxLabel || len(object) < slotHeader+label+minRootSize+Overhead {
		return slotRecord{}, damaged("a label of %d bytes in a slot of %d", label, len(object))
	}
	h := slotRecord{
		kind:       SlotKind(object[4]),
		repository: RepositoryID(object[8:24]),
		salt:       [saltSize]byte(object[24:56]),
		cost: Cost{
			Memory: binary.LittleEndian.Uint32(object[56:]),
			Passes: binary.LittleEndian.Uint32(object[60:]),
			Lanes:  object[64],
		},
		epochs:  binary.LittleEndian.Uint32(object[68:]),
		created: int64(binary.LittleEndian.Uint64(object[72:])),
		label:   string(object[slotHeader : slotHeader+label]),
	}
	if err := h.validate(); err != nil {
		return slotRecord{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return h, nil
}

// validate holds for what is written and for what is read.
func (h *slotRecord) validate() error {
	switch h.kind {
	case PasswordSlot:
		if err := h.cost.validate(); err != nil {
			return err
		}
	case TokenSlot:
		if h.cost != (Cost{}) {
			return errors.New("a token's slot with a cost")
		}
	default:
		return fmt.Errorf("%s is not known", h.kind)
	}
	if h.epochs < 1 || h.epochs > maxEpochs {
		return fmt.Errorf("a root record of %d epochs", h.epochs)
	}
	if h.created < 0 || h.created > maxCreated {
		return fmt.Errorf("created %d seconds after 1970", h.created)
	}
	return checkLabel(h.label)
}

// validate also refuses less memory than Argon2id is defined for.
func (c Cost) validate() error {
	if c.Passes < 1 || c.Passes > maxPasses || c.Lanes < 1 || c.Lanes > maxLanes ||
		c.Memory < 8*uint32(c.Lanes) || c.Memory > maxMemory {
		return fmt.Errorf("Argon2id with %d KiB, %d passes and %d lanes is out of bounds (%d KiB, %d, %d)",
			c.Memory, c.Passes, c.Lanes, maxMemory, maxPasses, maxLanes)
	}
	return nil
}

// checkLabel refuses what could play with the terminal that shows it: a label
// can be seen before anything proves it.
func checkLabel(label string) error {
	if len(label) > maxLabel || !utf8.ValidString(label) {
		return fmt.Errorf("the label is not UTF-8 of at most %d bytes", maxLabel)
	}
	for _, r := range label {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("the label has the unprintable character %U", r)
		}
	}
	return nil
}

func checkSlotName(slot string) error {
	raw, err := hex.DecodeString(slot)
	if err != nil || len(raw) != slotName || hex.EncodeToString(raw) != slot {
		return fmt.Errorf("the name of a key slot is %d lower-case hex digits", 2*slotName)
	}
	return nil
}
