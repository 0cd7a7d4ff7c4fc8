package repo

// KeepSegmentsOnDisk lets r behave as if its index were larger than what it keeps
// in memory.
func (r *Repository) KeepSegmentsOnDisk() { r.local.room = 0 }
