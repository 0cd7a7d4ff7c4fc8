package redis

import "encoding/binary"

// jones is the polynomial of Redis's CRC-64 (crc64.c), reflected.
const jones = 0x95AC9329AC4BC9B5

// tables are what a byte does to the checksum, with so many bytes behind it
// ("slicing by 8", M. Kounavis and F. Berry, 2005). hash/crc64 has such tables for
// its own polynomials only, and takes several times as long with any other.
var tables = func() (t [8][256]uint64) {
	for i := range t[0] {
		sum := uint64(i)
		for range 8 {
			if sum&1 == 1 {
				sum = sum>>1 ^ jones
			} else {
				sum >>= 1
			}
		}
		t[0][i] = sum
	}
	for i := range t[0] {
		sum := t[0][i]
		for n := 1; n < len(t); n++ {
			sum = t[0][byte(sum)] ^ sum>>8
			t[n][i] = sum
		}
	}
	return t
}()

// checksum continues sum over data. It begins with 0, and is not inverted.
func checksum(sum uint64, data []byte) uint64 {
	for len(data) >= 8 {
		sum ^= binary.LittleEndian.Uint64(data)
		sum = tables[7][byte(sum)] ^ tables[6][byte(sum>>8)] ^ tables[5][byte(sum>>16)] ^ tables[4][byte(sum>>24)] ^
			tables[3][byte(sum>>32)] ^ tables[2][byte(sum>>40)] ^ tables[1][byte(sum>>48)] ^ tables[0][sum>>56]
		data = data[8:]
	}
	for _, b := range data {
		sum = tables[0][byte(sum)^b] ^ sum>>8
	}
	return sum
}
