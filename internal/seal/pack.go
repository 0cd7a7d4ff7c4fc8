package seal

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"sync"
)

const packMagic = "HFPK"

// PackHeaderSize is the length of a pack's header, with which it begins.
const PackHeaderSize = headerSize

// PackCipher seals and opens what one pack holds. It may be used from several
// goroutines; its methods allocate nothing if dst has room.
type PackCipher struct {
	aead   cipher.AEAD
	header [PackHeaderSize]byte // the additional data of everything in the pack
	nonces *sync.Pool
}

// NewPack returns the cipher of a new pack: newest epoch, fresh salt. Every
// attempt at a pack needs its own.
func (k *Keys) NewPack() (*PackCipher, error) {
	salt, err := k.drawSalt()
	if err != nil {
		return nil, err
	}
	return k.PackCipherFor(k.Newest(), salt)
}

// OpenPack returns the cipher of the pack that begins with header.
func (k *Keys) OpenPack(header []byte) (*PackCipher, error) {
	h, err := parseHeader(packMagic, header)
	if err != nil {
		return nil, err
	}
	if h.kind != 0 {
		return nil, damaged("bytes of the header that are zero in version %d are not", version)
	}
	return k.PackCipherFor(h.epoch, h.salt)
}

// PackCipherFor returns the cipher of a pack whose epoch and salt are known, from
// the index, so that its header need not be read. A pack with another header does
// not open under it.
func (k *Keys) PackCipherFor(epoch uint32, salt [32]byte) (*PackCipher, error) {
	info := append([]byte("holdfast pack"), version)
	info = append(info, k.root.Repository[:]...)
	aead, err := k.derive(epoch, salt[:], string(info))
	if err != nil {
		return nil, err
	}
	c := &PackCipher{aead: aead, nonces: &k.nonces}
	header{magic: packMagic, epoch: epoch, salt: salt}.append(c.header[:0])
	return c, nil
}

// Header returns the bytes with which the pack begins.
func (c *PackCipher) Header() [PackHeaderSize]byte { return c.header }

// Epoch returns the number of the epoch the pack is sealed under.
func (c *PackCipher) Epoch() uint32 { return binary.LittleEndian.Uint32(c.header[8:]) }

// Salt returns the pack's salt.
func (c *PackCipher) Salt() [32]byte { return [32]byte(c.header[16:]) }

// SealBlob appends the sealed form of the pack's blob of that number, Overhead
// bytes longer. Under one cipher a number is used once.
func (c *PackCipher) SealBlob(dst []byte, number uint32, plaintext []byte) []byte {
	nonce := c.blobNonce(number)
	defer c.nonces.Put(nonce)
	return c.aead.Seal(dst, nonce[:], plaintext, c.header[:])
}

// OpenBlob appends what SealBlob was given. The error is ErrDamaged, without an
// object: the caller knows it.
func (c *PackCipher) OpenBlob(dst []byte, number uint32, sealed []byte) ([]byte, error) {
	nonce := c.blobNonce(number)
	defer c.nonces.Put(nonce)
	return c.open(dst, nonce, sealed)
}

// SealDirectory appends the sealed directory. Under one cipher it is used once.
func (c *PackCipher) SealDirectory(dst, plaintext []byte) []byte {
	nonce := directoryNonce()
	return c.aead.Seal(dst, nonce[:], plaintext, c.header[:])
}

// OpenDirectory appends what SealDirectory was given; the error is ErrDamaged.
func (c *PackCipher) OpenDirectory(dst, sealed []byte) ([]byte, error) {
	return c.open(dst, directoryNonce(), sealed)
}

func (c *PackCipher) open(dst []byte, nonce *[nonceSize]byte, sealed []byte) ([]byte, error) {
	plaintext, err := c.aead.Open(dst, nonce[:], sealed, c.header[:])
	if err != nil {
		return dst, ErrDamaged
	}
	return plaintext, nil
}

// blobNonce is u32 zero, u64 number: never that of the directory.
func (c *PackCipher) blobNonce(number uint32) *[nonceSize]byte {
	nonce := c.nonces.Get().(*[nonceSize]byte)
	binary.BigEndian.PutUint64(nonce[4:], uint64(number))
	return nonce
}

func directoryNonce() *[nonceSize]byte {
	return (*[nonceSize]byte)(bytes.Repeat([]byte{0xff}, nonceSize))
}
