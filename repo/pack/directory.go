package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"holdfast/internal/blob"
	"holdfast/internal/seal"
)

const (
	directoryHead = 16 // bytes before the first entry
	entrySize     = 43 // bytes of an entry without bases
	trailerSize   = 8
	trailerMagic  = "HFPE"

	// minSize is a pack of one blob with an empty payload.
	minSize = seal.PackHeaderSize + seal.Overhead + directoryHead + entrySize + seal.Overhead + trailerSize
	// tailSize is what ReadDirectory reads at first: the whole directory of most
	// packs.
	tailSize = 64 << 10
)

func appendDirectory(dst []byte, session [10]byte, blobs []Placed) []byte {
	dst = append(dst, session[:]...)
	dst = append(dst, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(blobs)))
	for i := range blobs {
		b := &blobs[i]
		dst = append(dst, b.ID[:]...)
		dst = binary.LittleEndian.AppendUint32(dst, b.Length)
		dst = binary.LittleEndian.AppendUint32(dst, b.Sealed)
		dst = append(dst, byte(b.Encoding), b.Depth, byte(len(b.Bases)))
		for _, base := range b.Bases {
			dst = append(dst, base[:]...)
		}
	}
	return dst
}

// parseDirectory reads a directory whose blobs end at the offset end.
func parseDirectory(data []byte, end uint32) (session [10]byte, blobs []Placed, err error) {
	if len(data) < directoryHead || end < seal.PackHeaderSize {
		return session, nil, errors.New("directory: no room for its head, or the pack's")
	}
	session = [10]byte(data)
	count := binary.LittleEndian.Uint32(data[12:])
	if data[10] != 0 || data[11] != 0 || count == 0 || count > MaxBlobs || int(count) > len(data[directoryHead:])/entrySize {
		return session, nil, fmt.Errorf("directory: %d blobs in %d bytes", count, len(data))
	}
	rest := data[directoryHead:]
	blobs = make([]Placed, count)
	offset := uint32(seal.PackHeaderSize)
	for i := range blobs {
		b := &blobs[i]
		if rest, err = b.parse(rest); err != nil {
			return session, nil, fmt.Errorf("directory: entry %d: %w", i, err)
		}
		b.Number, b.Offset = uint32(i), offset
		if b.Sealed < seal.Overhead || b.Sealed > end-offset {
			return session, nil, fmt.Errorf("directory: entry %d: %d sealed bytes at %d", i, b.Sealed, offset)
		}
		offset += b.Sealed
	}
	if len(rest) != 0 || offset != end {
		return session, nil, errors.New("directory: it does not fill the pack exactly")
	}
	return session, blobs, nil
}

// parse reads one entry and returns what follows it.
func (p *Placed) parse(data []byte) ([]byte, error) {
	if len(data) < entrySize {
		return nil, io.ErrUnexpectedEOF
	}
	p.ID = blob.ID(data)
	p.Length = binary.LittleEndian.Uint32(data[32:])
	p.Sealed = binary.LittleEndian.Uint32(data[36:])
	p.Encoding, p.Depth = Encoding(data[40]), data[41]
	bases := int(data[42])
	data = data[entrySize:]
	if bases > MaxBases || len(data) < bases*blob.Size {
		return nil, fmt.Errorf("%d bases in %d bytes", bases, len(data))
	}
	if bases > 0 {
		p.Bases = make([]blob.ID, bases)
	}
	for i := range p.Bases {
		p.Bases[i] = blob.ID(data)
		data = data[blob.Size:]
	}
	return data, p.validate()
}

// ReadDirectory returns what the pack under an object's name holds, of which it
// reads the header and the end only. It does not compare the pack's bytes with
// its name; VerifyName does.
func ReadDirectory(keys *seal.Keys, object string, size int64, at io.ReaderAt) (Info, []Placed, error) {
	name, err := ParseObjectName(object)
	if err != nil {
		return Info{}, nil, err
	}
	if size < minSize || size > MaxSize {
		return Info{}, nil, seal.Named(object, fmt.Errorf("%w: %d bytes", seal.ErrDamaged, size))
	}
	info, blobs, err := readDirectory(keys, size, at)
	if err != nil {
		return Info{}, nil, seal.Named(object, err)
	}
	info.Name = name
	return info, blobs, nil
}

func readDirectory(keys *seal.Keys, size int64, at io.ReaderAt) (Info, []Placed, error) {
	header := make([]byte, seal.PackHeaderSize)
	if err := readFull(at, header, 0); err != nil {
		return Info{}, nil, err
	}
	cipher, err := keys.OpenPack(header)
	if err != nil {
		return Info{}, nil, err
	}
	sealed, err := readSealedDirectory(size, at)
	if err != nil {
		return Info{}, nil, err
	}
	directory, err := cipher.OpenDirectory(nil, sealed)
	if err != nil {
		return Info{}, nil, fmt.Errorf("directory: %w", err)
	}
	session, blobs, err := parseDirectory(directory, uint32(size)-trailerSize-uint32(len(sealed)))
	if err != nil {
		return Info{}, nil, fmt.Errorf("%w: %w", seal.ErrDamaged, err)
	}
	return Info{Salt: cipher.Salt(), Epoch: cipher.Epoch(), Size: uint32(size), Session: session}, blobs, nil
}

func readSealedDirectory(size int64, at io.ReaderAt) ([]byte, error) {
	tail := make([]byte, min(tailSize, size-seal.PackHeaderSize))
	if err := readFull(at, tail, size-int64(len(tail))); err != nil {
		return nil, err
	}
	rest, trailer := tail[:len(tail)-trailerSize], tail[len(tail)-trailerSize:]
	length := int64(binary.LittleEndian.Uint32(trailer))
	if string(trailer[4:]) != trailerMagic || length > size-seal.PackHeaderSize-trailerSize {
		return nil, fmt.Errorf("%w: its last bytes are not a pack's", seal.ErrDamaged)
	}
	if length <= int64(len(rest)) {
		return rest[int64(len(rest))-length:], nil
	}
	sealed := make([]byte, length)
	return sealed, readFull(at, sealed, size-trailerSize-length)
}

// readFull fills p; a pack that is shorter than its storage said is damaged.
func readFull(at io.ReaderAt, p []byte, off int64) error {
	n, err := at.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends at byte %d", seal.ErrDamaged, off+int64(n))
	}
	return err
}
