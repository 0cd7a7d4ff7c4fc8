package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"
)

// actions is what the commands do. Each takes its options from the flags and
// everything else from env, writes its result with env.result and returns an
// error that codeRules can tell apart.
type actions struct {
	Init         func(context.Context, *env, InitOptions) error
	Create       func(context.Context, *env, CreateOptions) error
	List         func(context.Context, *env, ListOptions) error
	Show         func(context.Context, *env, ShowOptions) error
	Ls           func(context.Context, *env, LsOptions) error
	Cat          func(context.Context, *env, CatOptions) error
	Diff         func(context.Context, *env, DiffOptions) error
	Find         func(context.Context, *env, FindOptions) error
	Delete       func(context.Context, *env, DeleteOptions) error
	Undelete     func(context.Context, *env, UndeleteOptions) error
	Prune        func(context.Context, *env, PruneOptions) error
	Pin          func(context.Context, *env, PinOptions) error
	Unpin        func(context.Context, *env, UnpinOptions) error
	Restore      func(context.Context, *env, RestoreOptions) error
	Recover      func(context.Context, *env, RecoverOptions) error
	Gate         func(context.Context, *env, GateOptions) error
	Stats        func(context.Context, *env, StatsOptions) error
	Check        func(context.Context, *env, CheckOptions) error
	RebuildIndex func(context.Context, *env, RebuildIndexOptions) error
	Repair       func(context.Context, *env, RepairOptions) error
	Collect      func(context.Context, *env, CollectOptions) error
	ParityOn     func(context.Context, *env, ParityOnOptions) error
	ParityOff    func(context.Context, *env, ParityOffOptions) error
	ParityStatus func(context.Context, *env, ParityStatusOptions) error
	KeyAdd       func(context.Context, *env, KeyAddOptions) error
	KeyList      func(context.Context, *env, KeyListOptions) error
	KeyRemove    func(context.Context, *env, KeyRemoveOptions) error
	KeyPassword  func(context.Context, *env, KeyPasswordOptions) error
	KeyRotate    func(context.Context, *env, KeyRotateOptions) error
	Version      func(context.Context, *env, VersionOptions) error
}

// allActions is the program as it is.
func allActions() actions {
	return actions{
		Init:         initialise,
		Create:       create,
		List:         list,
		Show:         show,
		Ls:           ls,
		Cat:          cat,
		Diff:         diff,
		Find:         find,
		Delete:       remove,
		Undelete:     undelete,
		Prune:        prune,
		Pin:          pin,
		Unpin:        unpin,
		Restore:      restore,
		Recover:      recoverEnvironment,
		Gate:         gate,
		Stats:        stats,
		Check:        checkRepository,
		RebuildIndex: rebuildIndex,
		Repair:       repairRepository,
		Collect:      collect,
		ParityOn:     parityOn,
		ParityOff:    parityOff,
		ParityStatus: parityStatus,
		KeyAdd:       keyAdd,
		KeyList:      keyList,
		KeyRemove:    keyRemove,
		KeyPassword:  keyPassword,
		KeyRotate:    keyRotate,
		Version:      printVersion,
	}
}

// perform makes the package's kind of action: from flags and arguments to options
// to one call.
func perform[O any](app *env, action func(context.Context, *env, O) error, options func(*cli.Context) (O, error)) cli.ActionFunc {
	return func(c *cli.Context) error {
		o, err := options(c)
		if err != nil {
			return err
		}
		if action == nil {
			return fmt.Errorf("internal error: %s has no action", c.Command.HelpName)
		}
		return action(c.Context, app, o)
	}
}
