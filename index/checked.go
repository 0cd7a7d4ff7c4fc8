package index

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// blockSize is what one checksum of a copy's file covers, in bytes: a window of
// rows.
const blockSize = windowSize

// checked is bytes with a checksum for every block, which is compared whenever
// the block is used: a file that is mapped changes without a word.
type checked struct {
	data []byte
	sums []byte // CRC-32C, u32 per block
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const checkedEnd = 12 // u64 length of the data, u32 checksum of these eight bytes

// appendChecks makes data what openChecked reads.
func appendChecks(data []byte) []byte {
	size := len(data)
	for from := 0; from < size; from += blockSize {
		sum := crc32.Checksum(data[from:min(from+blockSize, size)], castagnoli)
		data = binary.LittleEndian.AppendUint32(data, sum)
	}
	data = binary.LittleEndian.AppendUint64(data, uint64(size))
	return binary.LittleEndian.AppendUint32(data, crc32.Checksum(data[len(data)-8:], castagnoli))
}

func openChecked(value []byte) (checked, error) {
	if len(value) < checkedEnd {
		return checked{}, fmt.Errorf("%w: %d bytes", ErrNoCopy, len(value))
	}
	body, end := value[:len(value)-checkedEnd], value[len(value)-checkedEnd:]
	size := binary.LittleEndian.Uint64(end)
	if crc32.Checksum(end[:8], castagnoli) != binary.LittleEndian.Uint32(end[8:]) || size > uint64(len(body)) {
		return checked{}, fmt.Errorf("%w: wrong checksum of a length", ErrNoCopy)
	}
	blocks := (int(size) + blockSize - 1) / blockSize
	if len(body) != int(size)+4*blocks {
		return checked{}, fmt.Errorf("%w: wrong length", ErrNoCopy)
	}
	return checked{data: body[:size], sums: body[size:]}, nil
}

// bytes returns n bytes from off, once their blocks are proved.
func (c *checked) bytes(off, n int) ([]byte, error) {
	if off < 0 || n < 0 || off > len(c.data) || n > len(c.data)-off {
		return nil, fmt.Errorf("%w: nothing at %d", ErrNoCopy, off)
	}
	for block := off / blockSize; block*blockSize < off+n; block++ {
		from := block * blockSize
		sum := crc32.Checksum(c.data[from:min(from+blockSize, len(c.data))], castagnoli)
		if sum != binary.LittleEndian.Uint32(c.sums[4*block:]) {
			return nil, fmt.Errorf("%w: wrong checksum", ErrNoCopy)
		}
	}
	return c.data[off : off+n], nil
}
