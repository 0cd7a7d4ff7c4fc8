package engines

import (
	"strconv"
	"strings"
)

// Older reports whether here is an older server than taken, both of the form of
// Point.Server: "MariaDB 10.11.6". What matters are the first parts parts of the
// versions, two where a server's data format stays the same within 10.11. Servers of
// different products, and what cannot be understood, are not older.
func Older(here, taken string, parts int) bool {
	product, version, ok := strings.Cut(here, " ")
	other, newer, fine := strings.Cut(taken, " ")
	if !ok || !fine || product != other {
		return false
	}
	a, b := strings.Split(version, "."), strings.Split(newer, ".")
	for i := range min(parts, len(a), len(b)) {
		m, errA := strconv.Atoi(a[i])
		n, errB := strconv.Atoi(b[i])
		if errA != nil || errB != nil {
			return false
		}
		if m != n {
			return m < n
		}
	}
	return false
}
