// Command avx2gen prints vector_amd64.s: the two inner loops of the vector finder,
// which ../vector_amd64.go declares, calls and explains. Run it through go generate.
//
// avo keeps the order of operands that Go's assembler has: the result comes last,
// and VPUNPCKLBW(b, a, ab) yields a0 b0 a1 b1 and so on.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	lanes  = 32 // one byte of each in a register, called a column
	window = 64
)

func main() {
	ConstraintExpr("amd64,!purego")
	transpose()
	scan()
	Generate()
}

// transpose turns the lanes' bytes into columns, sixteen at a time. A register
// takes 16 bytes (a row) of lane r in its low half and of lane r+16 in its high
// half, and both halves go the same way: a square of 16 rows and 16 columns is
// turned by four rounds of interleaving row i with row i+8. Since the first three
// keep even and odd rows apart, eight registers at a time suffice for them.
func transpose() {
	TEXT("transposeAVX2", NOSPLIT, "func(columns *byte, data *byte, span int, count int)")
	columns := Load(Param("columns"), GP64())
	data := Load(Param("data"), GP64())
	span := Load(Param("span"), GP64())
	count := Load(Param("count"), GP64())
	half := GP64()
	MOVQ(span, half)
	SHLQ(U8(4), half)

	Label("square")
	row := GP64()
	MOVQ(data, row)
	for j, even := range interleaveThrice(everyOtherRow(row, span, half)) {
		VMOVDQU(even, column(columns, 2*j)) // waits in its place
	}
	LEAQ(Mem{Base: data, Index: span, Scale: 1}, row)
	for j, odd := range interleaveThrice(everyOtherRow(row, span, half)) {
		even, low, high := YMM(), YMM(), YMM()
		VMOVDQU(column(columns, 2*j), even)
		VPUNPCKLBW(odd, even, low)
		VPUNPCKHBW(odd, even, high)
		VMOVDQU(low, column(columns, 2*j))
		VMOVDQU(high, column(columns, 2*j+1))
	}
	ADDQ(U8(16), data)
	ADDQ(U32(16*lanes), columns)
	SUBQ(U8(16), count)
	JNZ(LabelRef("square"))
	VZEROUPPER()
	RET()
}

func column(columns reg.Register, i int) Mem {
	return Mem{Base: columns, Disp: i * lanes}
}

func everyOtherRow(row, span, half reg.Register) (rows [8]reg.VecVirtual) {
	for i := range rows {
		rows[i] = YMM()
		VBROADCASTI128(Mem{Base: row}, rows[i]) // both halves: avo then knows the whole to be new
		VINSERTI128(U8(1), Mem{Base: row, Index: half, Scale: 1}, rows[i], rows[i])
		LEAQ(Mem{Base: row, Index: span, Scale: 2}, row)
	}
	return rows
}

func interleaveThrice(rows [8]reg.VecVirtual) [8]reg.VecVirtual {
	for range 3 {
		var next [8]reg.VecVirtual
		for i := range 4 {
			next[2*i], next[2*i+1] = YMM(), YMM()
			VPUNPCKLBW(rows[i+4], rows[i], next[2*i])
			VPUNPCKHBW(rows[i+4], rows[i], next[2*i+1])
		}
		rows = next
	}
	return rows
}

// The fields of vectorTables: tables of 16 entries of a byte each.
const (
	carryTables  = 0               // [7 digest bytes][low, high nibble]
	leaveTables  = 7 * 2 * 16      // the same
	reduceTables = 2 * leaveTables // [2 digest bytes]
	lowNibble    = reduceTables + 2*16
	secondMask   = lowNibble + 16
)

// scanner is the state of scan: a digest is seven bytes, each in a register of its
// own, so that multiplying by x^8 is to go one register on.
type scanner struct {
	tables, in reg.Register
	digest     [7]reg.VecVirtual // lowest byte first
	nibble     reg.VecVirtual    // 0x0f in every byte
	least      reg.VecVirtual    // zero where a lane met a cut
}

func scan() {
	TEXT("scanAVX2", NOSPLIT, "func(tables *byte, columns *byte, span int, data *byte) uint32")
	s := scanner{
		tables: Load(Param("tables"), GP64()),
		in:     Load(Param("columns"), GP64()),
		nibble: YMM(),
		least:  YMM(),
	}
	span := Load(Param("span"), GP64())
	ahead := GP64() // data[lanes*span:], the next block
	MOVQ(span, ahead)
	SHLQ(U8(5), ahead)
	ADDQ(Load(Param("data"), GP64()), ahead)
	for i := range s.digest {
		s.digest[i] = YMM()
		VPXOR(s.digest[i], s.digest[i], s.digest[i])
	}
	VPCMPEQB(s.least, s.least, s.least)
	VBROADCASTI128(s.table(lowNibble), s.nibble)

	warm := GP64()
	MOVQ(U32(window), warm)
	Label("warm")
	s.roll(s.split(s.digest[6]))
	DECQ(warm)
	JNZ(LabelRef("warm"))

	Label("look")
	top := s.split(s.digest[6])
	s.look(top)
	out := YMM()
	VMOVDQU(Mem{Base: s.in, Disp: -window * lanes}, out)
	s.roll(top, s.split(out)...)
	PREFETCHT0(Mem{Base: ahead})
	ADDQ(U8(lanes), ahead)
	DECQ(span)
	JNZ(LabelRef("look"))

	zero, found := YMM(), GP32()
	VPXOR(zero, zero, zero)
	VPCMPEQB(s.least, zero, zero)
	VPMOVMSKB(zero, found)
	VZEROUPPER()
	Store(found, ReturnIndex(0))
	RET()
}

func (s *scanner) table(offset int) Mem { return Mem{Base: s.tables, Disp: offset} }

// split returns the low and the high nibbles of a register's bytes.
func (s *scanner) split(bytes reg.VecVirtual) []reg.VecVirtual {
	low, high := YMM(), YMM()
	VPSRLW(U8(4), bytes, high)
	VPAND(s.nibble, bytes, low)
	VPAND(s.nibble, high, high)
	return []reg.VecVirtual{low, high}
}

// lookup returns the table's entry for each byte of the index.
func (s *scanner) lookup(table int, index reg.VecVirtual) reg.VecVirtual {
	entries := YMM()
	VBROADCASTI128(s.table(table), entries)
	VPSHUFB(index, entries, entries)
	return entries
}

// look notes in least which lanes stand at a cut, by the lowest 16 bits of the
// digest as far as the mask has them.
func (s *scanner) look(top []reg.VecVirtual) {
	first := s.lookup(reduceTables, top[1])
	second := s.lookup(reduceTables+16, top[1])
	mask := YMM()
	VBROADCASTI128(s.table(secondMask), mask)
	VPXOR(s.digest[0], first, first)
	VPXOR(s.digest[1], second, second)
	VPAND(mask, second, second)
	VPOR(second, first, first)
	VPMINUB(first, s.least, s.least)
}

// roll takes the next column in, given the nibbles of the digests' topmost bytes
// and, when warm, of the bytes that leave the window.
func (s *scanner) roll(top []reg.VecVirtual, out ...reg.VecVirtual) {
	for i := 6; i >= 0; i-- {
		var sum Op = Mem{Base: s.in}
		if i > 0 {
			sum = s.digest[i-1]
		}
		for nibble, index := range out {
			VPXOR(sum, s.lookup(leaveTables+(2*i+nibble)*16, index), s.digest[i])
			sum = s.digest[i]
		}
		for nibble, index := range top {
			VPXOR(sum, s.lookup(carryTables+(2*i+nibble)*16, index), s.digest[i])
			sum = s.digest[i]
		}
	}
	ADDQ(U8(lanes), s.in)
}
