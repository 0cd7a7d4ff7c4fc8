//go:build !amd64 || purego

package blake3

// Other machines hash with the reference alone.
const (
	wide  = false
	width = 16
)

// lanes is what they do not have.
type lanes struct{}

func newLanes(value) lanes { return lanes{} }

func (*lanes) count(uint64)                                 {}
func (*lanes) uncounted()                                   {}
func (*lanes) compress([]byte, int, uint32, uint32, uint32) {}
func (*lanes) store([]byte, int)                            {}
