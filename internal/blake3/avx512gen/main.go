// Command avx512gen prints vector_amd64.s: BLAKE3's compression of sixteen inputs
// at once, which ../vector_amd64.go declares, calls and explains. Run it through go
// generate.
//
// The state of a compression is sixteen words, and so is a block. A register has
// one such word of each of the sixteen inputs: registers 0 to 15 are the state,
// 16 to 31 the block, and nothing is left over for anything else. Registers are
// named by hand therefore.
//
// avo keeps the order of operands that Go's assembler has: the result comes last.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// zmm are the registers by number.
var zmm = []reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
	reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
	reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

// Where the parts of ../vector_amd64.go's constants stand.
const (
	keyAt         = 0
	ivAt          = 32
	counterLowAt  = 64
	counterHighAt = 128
)

// permutation is how the words of a block are ordered anew after each round.
var permutation = [16]int{2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8}

func main() {
	ConstraintExpr("amd64,!purego")
	TEXT("compress16AVX512", NOSPLIT, "func(values *byte, constants *byte, data *byte, stride int, blocks int, first uint32, middle uint32, last uint32)")
	values := Load(Param("values"), GP64())
	constants := Load(Param("constants"), GP64())
	data := Load(Param("data"), GP64())
	stride := Load(Param("stride"), GP64())
	blocks := Load(Param("blocks"), GP64())
	flags := Load(Param("first"), GP32())
	middle := Load(Param("middle"), GP32())
	last := Load(Param("last"), GP32())
	thrice := GP64() // three strides
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, thrice)

	for i := range 8 {
		VPBROADCASTD(Mem{Base: constants, Disp: keyAt + 4*i}, zmm[i])
	}

	Label("block")
	ORL(middle, flags)
	CMPQ(blocks, U8(1))
	JNE(LabelRef("load"))
	ORL(last, flags)

	Label("load")
	loadRows(data, stride, thrice)
	block := transpose()
	for i := range 4 {
		VPBROADCASTD(Mem{Base: constants, Disp: ivAt + 4*i}, zmm[8+i])
	}
	VMOVDQU32(Mem{Base: constants, Disp: counterLowAt}, zmm[12])
	VMOVDQU32(Mem{Base: constants, Disp: counterHighAt}, zmm[13])
	length := GP32()
	MOVL(U32(64), length)
	VPBROADCASTD(length, zmm[14])
	VPBROADCASTD(flags, zmm[15])
	for range 7 {
		round(block)
		block = permuted(block)
	}
	for i := range 8 {
		VPXORD(zmm[8+i], zmm[i], zmm[i])
	}
	XORL(flags, flags)
	ADDQ(U8(64), data)
	DECQ(blocks)
	JNZ(LabelRef("block"))

	for i := range 8 {
		VMOVDQU32(zmm[i], Mem{Base: values, Disp: 64 * i})
	}
	VZEROUPPER()
	RET()
	Generate()
}

// loadRows loads a block of each input: of input i into register 16+i.
func loadRows(data, stride, thrice reg.Register) {
	row := GP64()
	MOVQ(data, row)
	for i := 0; i < 16; i += 4 {
		VMOVDQU32(Mem{Base: row}, zmm[16+i])
		VMOVDQU32(Mem{Base: row, Index: stride, Scale: 1}, zmm[17+i])
		VMOVDQU32(Mem{Base: row, Index: stride, Scale: 2}, zmm[18+i])
		VMOVDQU32(Mem{Base: row, Index: thrice, Scale: 1}, zmm[19+i])
		LEAQ(Mem{Base: row, Index: stride, Scale: 4}, row)
	}
}

// transpose turns the sixteen rows into sixteen columns, words of all inputs, and
// returns in which registers these are. Each step makes two registers of two, of
// which one takes the place of an operand and the other that of the spare one.
func transpose() []reg.VecPhysical {
	spare := zmm[8]
	rows := append([]reg.VecPhysical(nil), zmm[16:]...)
	pair := func(a, b int, low, high func(b, a, to reg.VecPhysical)) {
		x, y := rows[a], rows[b]
		low(y, x, spare)
		high(y, x, y)
		rows[a], rows[b], spare = spare, y, x
	}
	// Words 0 to 3 of each quarter: first pairs of rows, then fours.
	for r := 0; r < 16; r += 2 {
		pair(r, r+1, func(b, a, to reg.VecPhysical) { VPUNPCKLDQ(b, a, to) }, func(b, a, to reg.VecPhysical) { VPUNPCKHDQ(b, a, to) })
	}
	low, high := func(b, a, to reg.VecPhysical) { VPUNPCKLQDQ(b, a, to) }, func(b, a, to reg.VecPhysical) { VPUNPCKHQDQ(b, a, to) }
	for r := 0; r < 16; r += 4 {
		pair(r, r+2, low, high)   // words 0 and 1
		pair(r+1, r+3, low, high) // words 2 and 3
		rows[r+1], rows[r+2] = rows[r+2], rows[r+1]
	}
	// rows[4q+c] has, in quarter k, word 4k+c of inputs 4q to 4q+3: the quarters
	// are to be turned against the fours of inputs.
	shuffle := func(selected uint8) func(b, a, to reg.VecPhysical) {
		return func(b, a, to reg.VecPhysical) { VSHUFI32X4(U8(selected), b, a, to) }
	}
	columns := make([]reg.VecPhysical, 16)
	for c := range 4 {
		pair(c, 4+c, shuffle(0x44), shuffle(0xee))
		pair(8+c, 12+c, shuffle(0x44), shuffle(0xee))
		pair(c, 8+c, shuffle(0x88), shuffle(0xdd))
		pair(4+c, 12+c, shuffle(0x88), shuffle(0xdd))
		columns[c], columns[4+c], columns[8+c], columns[12+c] = rows[c], rows[8+c], rows[4+c], rows[12+c]
	}
	// The state wants register 8 back.
	for i, column := range columns {
		if column == zmm[8] {
			VMOVDQA32(column, spare)
			columns[i] = spare
		}
	}
	return columns
}

// round is one of seven. The four mixtures of columns, and then those of diagonals,
// do not depend on each other and go side by side.
func round(block []reg.VecPhysical) {
	mix := func(rows [4][4]int, words []reg.VecPhysical) {
		step := func(do func(a, b, c, d reg.VecPhysical, i int)) {
			for i, r := range rows {
				do(zmm[r[0]], zmm[r[1]], zmm[r[2]], zmm[r[3]], i)
			}
		}
		for half, turns := range [2][2]uint8{{16, 12}, {8, 7}} {
			step(func(a, b, c, d reg.VecPhysical, i int) { VPADDD(words[2*i+half], a, a) })
			step(func(a, b, c, d reg.VecPhysical, i int) { VPADDD(b, a, a) })
			step(func(a, b, c, d reg.VecPhysical, i int) { VPXORD(a, d, d) })
			step(func(a, b, c, d reg.VecPhysical, i int) { VPRORD(U8(turns[0]), d, d) })
			step(func(a, b, c, d reg.VecPhysical, i int) { VPADDD(d, c, c) })
			step(func(a, b, c, d reg.VecPhysical, i int) { VPXORD(c, b, b) })
			step(func(a, b, c, d reg.VecPhysical, i int) { VPRORD(U8(turns[1]), b, b) })
		}
	}
	mix([4][4]int{{0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15}}, block[:8])
	mix([4][4]int{{0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14}}, block[8:])
}

func permuted(block []reg.VecPhysical) []reg.VecPhysical {
	next := make([]reg.VecPhysical, 16)
	for i, from := range permutation {
		next[i] = block[from]
	}
	return next
}
