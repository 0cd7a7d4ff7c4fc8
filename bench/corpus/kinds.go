package corpus

import (
	"context"
	"fmt"
	"strings"
)

// Days is a corpus: what it is on the first day, how it changes on the days that
// follow, counted from 1, and which bytes are new then.
type Days interface {
	Create(ctx context.Context, dir string) error
	NextDay(ctx context.Context, dir string, day int) error
	News(ctx context.Context, dir string, day int) error
}

// kinds are the corpora by name, each with its size at scale 1.
var kinds = []struct {
	name, size string
	of         func(seed uint64, scale float64) Days
}{
	{"mixed", "963 MB in 10,273 files", func(seed uint64, scale float64) Days {
		return Mixed{Seed: seed, Scale: scale}
	}},
	{"small", "200,000 files of about 1 KB", func(seed uint64, scale float64) Days {
		return Small{Seed: seed, Files: int(200_000 * scale)}
	}},
	{"million", "1,000,000 files of about 1 KB", func(seed uint64, scale float64) Days {
		return Small{Seed: seed, Files: int(1_000_000 * scale)}
	}},
	{"dump", "one dump of 4 GB", func(seed uint64, scale float64) Days {
		return Dump{Seed: seed, Size: int64(4e9 * scale)}
	}},
	{"sparse", "an image of 20 GB with 2 GB of data", func(seed uint64, scale float64) Days {
		return Sparse{Seed: seed, Size: int64(20e9 * scale), Data: int64(2e9 * scale)}
	}},
	{"incompressible", "1,000 files of about 1 MB of random bytes", func(seed uint64, scale float64) Days {
		return Incompressible{Seed: seed, Files: int(1000 * scale)}
	}},
}

// Of returns the corpus of a kind.
func Of(kind string, seed uint64, scale float64) (Days, error) {
	for _, k := range kinds {
		if k.name == kind && scale > 0 {
			return k.of(seed, scale), nil
		}
	}
	return nil, fmt.Errorf("want a scale above 0 of %s; found %v of %q", strings.Join(Kinds(), ", "), scale, kind)
}

// Kinds returns the names that Of knows.
func Kinds() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// Usage is the help text of the flag that chooses a kind.
func Usage() string {
	var text strings.Builder
	text.WriteString("the data; at scale 1:")
	for _, k := range kinds {
		fmt.Fprintf(&text, "\n%s: %s", k.name, k.size)
	}
	return text.String()
}
