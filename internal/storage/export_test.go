package storage

// SetStep lets a test stand between Local and the system calls of Put and Delete.
func (l *Local) SetStep(step func(what string, do func() error) error) { l.step = step }

// What tests of the bounds need to know.
const (
	KeptFiles = keptFiles
	KeptDirs  = keptDirs
)
