package parity

import "fmt"

// Shape says how a group is cut.
type Shape struct {
	Block   int // bytes: a power of two, 4 KiB to 1 MiB
	Data    int // data blocks of a stripe, at most
	Parity  int // parity blocks of a stripe
	Stripes int
}

const (
	minBlock = 4 << 10
	maxBlock = 1 << 20
	// idealBlock is the largest that ShapeOf chooses. Damage comes in sectors of 4
	// KiB and more. A flipped bit takes a block: the smaller that is, the more flips
	// can be borne, and the more room the checksums take, 16 bytes for each block and
	// that twice.
	idealBlock = 16 << 10
	// manyBlocks is from where on a larger block is chosen.
	manyBlocks = 4000
)

// stripeOf returns how many data blocks a stripe has where there are enough. Long
// stripes bear what chance heaps up; encoding takes as many multiplications for each
// byte as a stripe has parity blocks. With these a stripe has 256 blocks at most.
func stripeOf(percent int, survive bool) int {
	if survive {
		return 100 // the parity may be as much
	}
	return min(200, 25000/(100+percent))
}

// MaxPercent bounds the strength.
const MaxPercent = 100

// ShapeOf chooses the shape of a group of objects of these sizes, whose parity is to
// be that many percent of them. Where survive is set it is as much as makes any one
// object computable that has vanished whole.
func ShapeOf(sizes []int64, percent int, survive bool) Shape {
	total, largest := int64(0), int64(0)
	for _, n := range sizes {
		total, largest = total+n, max(largest, n)
	}
	s := Shape{Block: minBlock}
	for s.Block < idealBlock && total/int64(s.Block) > manyBlocks {
		s.Block *= 2
	}
	blocks := 0
	for _, n := range sizes {
		blocks += s.blocksOf(n)
	}
	blocks = max(blocks, 1)
	stripe := stripeOf(percent, survive)
	s.Stripes = (blocks + stripe - 1) / stripe
	s.Data = (blocks + s.Stripes - 1) / s.Stripes
	s.Parity = max(2, (s.Data*percent+99)/100)
	if survive {
		s.Parity = max(s.Parity, (s.blocksOf(largest)+s.Stripes-1)/s.Stripes)
	}
	return s
}

func (s Shape) blocksOf(size int64) int { return int((size + int64(s.Block) - 1) / int64(s.Block)) }

func (s Shape) validate(blocks int) error {
	if s.Block < minBlock || s.Block > maxBlock || s.Block&(s.Block-1) != 0 ||
		s.Data < 1 || s.Parity < 1 || s.Data+s.Parity > 256 || s.Stripes < 1 || s.Stripes > maxBlocks ||
		blocks > s.Data*s.Stripes {
		return fmt.Errorf("%w: %d blocks of %d bytes in %d stripes of %d and %d", ErrDamaged, blocks, s.Block, s.Stripes, s.Data, s.Parity)
	}
	return nil
}

// place is where a data block is: its stripe, and its number there.
func (s Shape) place(block int) (stripe, number int) { return block % s.Stripes, block / s.Stripes }
