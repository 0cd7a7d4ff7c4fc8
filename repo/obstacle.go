package repo

import (
	"context"
	"fmt"
	"strings"

	"holdfast/internal/storage"
)

// depths is of how many elements the names of a folder's objects are.
var depths = map[string]int{"config": 1, "activities": 3, "condemned": 2, "damaged": 3, "epochs": 2, "index": 2, "keys": 2, "leases": 3, "packs": 3,
	"parity": 3, "pins": 3, "reserve": 2, "sessions": 2, "snapshots": 2, "trash": 3, "versions": 2}

// Obstacles names what stands in the place of an object and is none, as the damage
// that it is: beneath prefix, or anywhere where that is "". What stands where
// directories of objects must be is named too.
func Obstacles(ctx context.Context, store storage.Storage, prefix string) (all []*DamagedError, err error) {
	mixed, ok := mixedOf(store)
	if !ok {
		return nil, nil
	}
	for other, err := range mixed.Others(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		switch depth, want := depthOf(other.Name); {
		case depth > want: // beneath an obstacle, or none of ours
		case depth == want && other.Mode.IsRegular():
		case depth == want:
			all = append(all, &DamagedError{other.Name, other.Err()})
		case !other.Mode.IsDir():
			all = append(all, &DamagedError{other.Name, fmt.Errorf("%w, and what is to be there can only be put back by hand", other.Err())})
		}
	}
	return all, nil
}

func mixedOf(store storage.Storage) (storage.Mixed, bool) {
	if p, ok := store.(*pretending); ok {
		store = p.Storage
	}
	mixed, ok := store.(storage.Mixed)
	return mixed, ok
}

// depthOf returns of how many elements a name is, and an object's in its folder.
func depthOf(name string) (depth, want int) {
	elements := strings.Split(name, "/")
	return len(elements), depths[elements[0]]
}

// NextOfObstacle is what to do about one.
const NextOfObstacle = "move it out of the repository and put back what belongs there; where an object belongs \"holdfast repo repair\" sets it aside"

// Obstacles is the function of this name.
func (r *Repository) Obstacles(ctx context.Context, prefix string) ([]*DamagedError, error) {
	return Obstacles(ctx, r.store.Storage, prefix)
}

// ClearWay moves an obstacle beneath aside/; in a dry run it only says whether it
// would. One that stands in the place of a directory is left and returned: what
// belongs there may be where it points to.
func ClearWay(ctx context.Context, store storage.Storage, obstacle *DamagedError, dryRun bool) error {
	mixed, ok := mixedOf(store)
	if depth, want := depthOf(obstacle.Object); !ok || depth < want {
		return obstacle
	}
	if dryRun {
		return nil
	}
	return mixed.MoveOther(ctx, obstacle.Object, aside+obstacle.Object)
}

// ClearWay is the function of this name.
func (r *Repository) ClearWay(ctx context.Context, obstacle *DamagedError, dryRun bool) error {
	return ClearWay(ctx, r.store.Storage, obstacle, dryRun)
}
