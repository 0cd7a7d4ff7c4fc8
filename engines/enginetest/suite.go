package enginetest

import (
	"context"
	"slices"
	"testing"

	"holdfast/engines"
)

// Harness tells the suite about one engine.
type Harness struct {
	Engine engines.Engine
	// Place makes a place for one test's data, which is still Missing or Empty, and
	// removes it by t.Cleanup. Each call gives another one.
	Place func(t *testing.T) Place
	// Refused returns services that the engine must refuse.
	Refused func(t *testing.T) []Refusal
	// Cannot names the cases that this kind of data cannot have, each with the
	// reason, which is printed. There is no other way to leave a case out.
	Cannot map[Case]string
}

// Place is where data of the engine's kind lives: a database, a directory, a
// core. Only Write is called from several goroutines, and while the engine works.
type Place interface {
	// Service is how the engine is told of the place. Its Name is the same for all
	// places of a Harness, so that a snapshot of one can be restored into another.
	Service() engines.Service
	// Fill replaces all data by known data of that kind, which keep the invariant.
	Fill(ctx context.Context, kind Kind) error
	// Write is what a site does: it changes several things in such a way that the
	// invariant holds before and after, but not in between (it moves an amount from
	// one account to another). Every n is used once. It waits, within reason, for
	// whatever the engine keeps locked, and does its work also on data that Fill
	// made in another place.
	Write(ctx context.Context, n int) error
	// Check returns an error that says how the invariant is broken.
	Check(ctx context.Context) error
	// Dump gives all data in a form that is equal if and only if the data are equal,
	// marks and names of a restore left out; of Missing data it is "".
	Dump(ctx context.Context) (string, error)
	// Litter names what an engine has left at the place beyond the data: what is
	// staged or retired, marks of a swap, locks, sessions that still hold something.
	Litter(ctx context.Context) ([]string, error)
}

// Kind is what Fill makes.
type Kind string

// The kinds of data.
const (
	Known   Kind = "known"   // a few hundred things, among them accounts with a fixed sum
	Empty   Kind = "empty"   // the place exists and nothing is in it
	Large   Kind = "large"   // Known, and single values of some megabytes
	Odd     Kind = "odd"     // Known, and names and values that are hard to get right
	Missing Kind = "missing" // not even the place exists
)

// Refusal is a service that must be refused, by Engine.Source or Prepare, and by
// Engine.Target or Plan.
type Refusal struct {
	What    string // "wrong password"
	Service engines.Service
	Want    []string // what the error must contain; it must never contain Service.Password
	// NoSource and NoTarget are set where the other side must accept the service:
	// a restore may create what is missing.
	NoSource, NoTarget bool
}

// Case is one promise that the suite holds an engine to.
type Case string

// The cases.
const (
	Itself       Case = "a snapshot restores the place it came from"
	Other        Case = "a snapshot restores into another place"
	EmptyData    Case = "empty data are saved and restored"
	LargeValues  Case = "large values are saved and restored"
	OddNames     Case = "odd names and values are saved and restored"
	Creates      Case = "a missing place is created, and revert removes it again"
	HeldWrites   Case = "a point under the hold is exactly the data at the mark"
	UnheldWrites Case = "a point without a hold keeps the invariant"
	UnheldSwap   Case = "a swap without a hold keeps the invariant"
	Unchanged    Case = "unchanged data give the same streams, with the parent as base or kept"
	FewChanges   Case = "a few writes change few bytes of the streams"
	RevertSwap   Case = "revert gives back the data as they were at the swap"
	RevertNone   Case = "revert without a swap does nothing"
	DiscardAny   Case = "discard leaves nothing behind, at any step"
	RetiredData  Case = "retired yields the data as they were at the swap"
	CrashStage   Case = "a crash in stage leaves current data alone and is discarded"
	CrashSwap    Case = "a crash in swap is reverted"
	CrashRevert  Case = "a crash in revert is reverted again"
	CrashDiscard Case = "a crash in discard is discarded again"
	CrashUndone  Case = "a crash in discard after revert is reverted and discarded again"
	CancelSource Case = "a capture that is cancelled at any step leaves nothing behind"
	SinkFails    Case = "a sink that fails at any call fails the capture and nothing else"
	ContentFails Case = "content that fails at any call fails the stage and nothing else"
	Refusals     Case = "what cannot work is refused with a clear error"
)

// Run holds an engine to every case. After each of them nothing but data may be
// left at any place.
func Run(t *testing.T, h Harness) {
	cases := []struct {
		name Case
		run  func(*rig)
	}{
		{Itself, itself},
		{Other, func(r *rig) { other(r, Known) }},
		{EmptyData, emptyData},
		{LargeValues, func(r *rig) { other(r, Large) }},
		{OddNames, func(r *rig) { other(r, Odd) }},
		{Creates, creates},
		{HeldWrites, heldWrites},
		{UnheldWrites, unheldWrites},
		{UnheldSwap, unheldSwap},
		{Unchanged, unchanged},
		{FewChanges, fewChanges},
		{RevertSwap, revertSwap},
		{RevertNone, revertNone},
		{DiscardAny, discardAny},
		{RetiredData, retiredData},
		{CrashStage, crashStage},
		{CrashSwap, crashSwap},
		{CrashRevert, crashRevert},
		{CrashDiscard, crashDiscard},
		{CrashUndone, crashUndone},
		{CancelSource, cancelSource},
		{SinkFails, sinkFails},
		{ContentFails, contentFails},
		{Refusals, refusals},
	}
	for name := range h.Cannot {
		if !slices.ContainsFunc(cases, func(c struct {
			name Case
			run  func(*rig)
		}) bool {
			return c.name == name
		}) {
			t.Errorf("Cannot names %q, which is no case", name)
		}
	}
	for _, c := range cases {
		t.Run(string(c.name), func(t *testing.T) {
			if why := h.Cannot[c.name]; why != "" {
				t.Logf("%s has no such case: %s", h.Engine.Name, why)
				return
			}
			c.run(&rig{T: t, h: h, ctx: t.Context()})
		})
	}
}
