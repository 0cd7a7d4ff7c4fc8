package repo

// KeepSegmentsOnDisk lets r behave as if its index were larger than what it keeps
// in memory.
func (r *Repository) KeepSegmentsOnDisk() { r.local.room = 0 }

// AheadBytes is what AheadLeft is while nothing is read ahead.
const AheadBytes = aheadBytes

// AheadLeft is how much may be read ahead yet.
func (r *Repository) AheadLeft() int { return int(r.ahead.left.Load()) }
