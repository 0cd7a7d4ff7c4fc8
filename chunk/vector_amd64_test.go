//go:build amd64 && !purego

package chunk

import (
	"testing"

	"golang.org/x/sys/cpu"
)

func TestVectorsAreUsedWhereTheMachineHasThem(t *testing.T) {
	for sizes, worth := range map[Sizes]bool{tinySizes: false, testSizes: false, fineSizes: true, coarseSizes: true} {
		if used := NewCutter(testPolynomial, sizes).finder.vector != nil; used != (worth && cpu.X86.HasAVX2) {
			t.Errorf("sizes %v: vectors used: %v, the machine has AVX2: %v", sizes, used, cpu.X86.HasAVX2)
		}
	}
}
