package seal

import (
	"encoding/binary"
)

// headerSize is the length of what stands before the sealed parts of an object
// or a pack: magic 4, type 1, version 1, zero 2, epoch 4, zero 4, salt 32.
const headerSize = 48

type header struct {
	magic string
	kind  Type // 0 for packs
	epoch uint32
	salt  [saltSize]byte
}

func (h header) append(dst []byte) []byte {
	dst = append(dst, h.magic...)
	dst = append(dst, byte(h.kind), version, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, h.epoch)
	dst = append(dst, 0, 0, 0, 0)
	return append(dst, h.salt[:]...)
}

func parseHeader(magic string, data []byte) (header, error) {
	if len(data) < headerSize {
		return header{}, damaged("%d bytes, shorter than a header", len(data))
	}
	if err := checkVersion(magic, data[:4], data[5]); err != nil {
		return header{}, err
	}
	if binary.LittleEndian.Uint16(data[6:]) != 0 || binary.LittleEndian.Uint32(data[12:]) != 0 {
		return header{}, damaged("bytes of the header that are zero in version %d are not", version)
	}
	return header{
		magic: magic,
		kind:  Type(data[4]),
		epoch: binary.LittleEndian.Uint32(data[8:]),
		salt:  [saltSize]byte(data[16:headerSize]),
	}, nil
}

func checkVersion(magic string, found []byte, v uint8) error {
	switch {
	case string(found) != magic:
		return damaged("begins with %q instead of %q", found, magic)
	case v > version:
		return &VersionError{Found: v, Known: version}
	case v < version:
		return damaged("format version %d", v)
	}
	return nil
}
