package main

import (
	"time"

	"holdfast/repo/check"

	"holdfast/quiesce"
)

// InitOptions are those of "init".
type InitOptions struct {
	Label string // of the first key slot; "" for user and host
}

// CreateOptions are those of "snapshot create".
type CreateOptions struct {
	Live        bool   // do not hold requests
	OnTimeout   string // environment.OnTimeoutFail or -Live; "" for the configuration's
	Description string // for people
	DryRun      bool   // say what would be done
}

// ListOptions are those of "snapshot list".
type ListOptions struct {
	All     bool // of all projects and environments in the repository
	Deleted bool // those that undelete can bring back, instead
	Safety  bool // those that restores have made, too
}

// ShowOptions are those of "snapshot show".
type ShowOptions struct {
	Snapshot string // "latest", or a name or the beginning of one: 6 to 20 hex digits
}

// LsOptions are those of "snapshot ls".
type LsOptions struct {
	Snapshot  string // as in ShowOptions
	Path      string // clean, relative: "uploads/2026"; "" for the top
	Recursive bool
}

// CatOptions are those of "snapshot cat".
type CatOptions struct {
	Snapshot string // as in ShowOptions
	Path     string // clean, relative, never ""
}

// DiffOptions are those of "snapshot diff".
type DiffOptions struct {
	From, To string // as in ShowOptions
}

// FindOptions are those of "snapshot find".
type FindOptions struct {
	Pattern string // as path.Match takes it, against a whole path or the last element
	All     bool   // in all projects and environments
}

// DeleteOptions are those of "snapshot delete".
type DeleteOptions struct {
	Snapshot string // as in ShowOptions, but not "latest"
	Yes      bool
}

// PruneOptions are those of "snapshot prune".
type PruneOptions struct {
	All    bool // of all projects and environments in the repository
	DryRun bool
	Yes    bool
}

// UndeleteOptions are those of "snapshot undelete".
type UndeleteOptions struct {
	Snapshot string // as in DeleteOptions
}

// PinOptions are those of "snapshot pin".
type PinOptions struct {
	Snapshot string // as in ShowOptions
}

// UnpinOptions are those of "snapshot unpin".
type UnpinOptions struct {
	Snapshot string // as in ShowOptions
}

// RestoreOptions are those of "snapshot restore".
type RestoreOptions struct {
	Snapshot         string   // as in ShowOptions; "latest" where none was given
	Target           string   // an environment; "" for the acting one
	To               string   // a directory, as it was typed; "" for an environment
	Only             []string // names of services and mounts; none for all
	Subpath          string   // clean, relative, beneath the one name in Only; "" for all of it
	Live             bool     // do not hold requests
	DryRun           bool
	Yes              bool
	NoSafetySnapshot bool
}

// RecoverOptions are those of "snapshot recover".
type RecoverOptions struct{}

// GateOptions are those of "gate".
type GateOptions struct {
	Action       string   // gateServe, gateStatus or gateRelease
	Listen       []string // HOST:PORT or unix:/path; none where systemd hands sockets on
	Upstream     string   // the site's URL
	Control      string   // absolute path of the control socket; "" for the configuration's
	ControlGroup string   // whose members may use it; "" for nobody
	Queue        int
	Drain        time.Duration
	MaxHold      time.Duration
	Pass         []string // paths that are not held
	Freeze       []quiesce.Freezable
	Before       string // a command; "" for none
	After        string
	HookTime     time.Duration
	Recover      string // a command; "" for none
}

// StatsOptions are those of "repo stats".
type StatsOptions struct{}

// CheckOptions are those of "repo check".
type CheckOptions struct {
	ReadData      bool       // every blob, not only what leads to it
	Part          check.Part // or some
	Rate          int64      // bytes per second at most; 0: as fast as it goes
	VerifyRestore string     // a snapshot to restore and compare, as in ShowOptions; "" for none
	Scratch       string     // a directory for that, as it was typed; "" for the system's
}

// RebuildIndexOptions are those of "repo rebuild-index".
type RebuildIndexOptions struct{}

// RepairOptions are those of "repo repair".
type RepairOptions struct {
	DryRun    bool // say what would be done
	Structure bool // do not read the packs' bytes
	GiveUp    bool // set unreadable snapshots aside
}

// CollectOptions are those of "repo gc".
type CollectOptions struct {
	DryRun     bool
	Grace      time.Duration
	Settle     time.Duration
	Wait       time.Duration
	MaxRepack  int64 // bytes; 0: any
	Bases      time.Duration
	Erase      bool
	AcceptLoss bool
}

// ParityOnOptions are those of "repo parity on".
type ParityOnOptions struct {
	Percent int // of what is stored, 1 to 100
}

// ParityOffOptions are those of "repo parity off".
type ParityOffOptions struct{}

// ParityStatusOptions are those of "repo parity status".
type ParityStatusOptions struct{}

// KeyAddOptions are those of "repo key add".
type KeyAddOptions struct {
	Token           bool   // make a token and print it, instead of asking for a password
	Label           string // for people; "" for user and host
	NewPasswordFile string // as it was typed; "" to ask
}

// KeyListOptions are those of "repo key list".
type KeyListOptions struct{}

// KeyRemoveOptions are those of "repo key remove".
type KeyRemoveOptions struct {
	Slot string // the name of a slot, or the beginning of one: 6 to 32 hex digits
	Yes  bool
}

// KeyPasswordOptions are those of "repo key password".
type KeyPasswordOptions struct {
	NewPasswordFile string // as it was typed; "" to ask
}

// KeyRotateOptions are those of "repo key rotate".
type KeyRotateOptions struct {
	Yes bool
}

// VersionOptions are those of "version".
type VersionOptions struct{}
