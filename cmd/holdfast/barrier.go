package main

import (
	"context"
	"errors"
	"fmt"

	"holdfast/internal/environment"
	"holdfast/internal/snapshot"
	"holdfast/quiesce"
	"holdfast/repo"
)

// barrierOf returns what holds the requests of an environment.
func barrierOf(e environment.Environment) snapshot.Barrier {
	if e.Gate.Control == "" {
		return snapshot.NoBarrier{}
	}
	return gateBarrier{e.Gate}
}

// gateBarrier holds requests at an environment's gate.
type gateBarrier struct{ gate environment.Gate }

func (b gateBarrier) client() quiesce.Client { return quiesce.Client(b.gate.Control) }

// Hold implements snapshot.Barrier.
func (b gateBarrier) Hold(ctx context.Context, mode snapshot.HoldMode, holder string) (snapshot.Held, error) {
	request := quiesce.Request{Mode: quiesce.Mark, Holder: holder, Drain: b.gate.Drain, MaxHold: b.gate.MaxHold}
	if mode == snapshot.HoldSwap {
		request.Mode = quiesce.Swap
	}
	hold, err := b.client().Hold(ctx, request)
	if err != nil {
		return nil, b.explain(err, mode)
	}
	return gateHold{b, hold}, nil
}

// gateAnswers looks, before there is anything to be held, whether the gate is there:
// a restore is asked about, and a snapshot copies, for long before it holds.
func gateAnswers(ctx context.Context, b snapshot.Barrier, mode snapshot.HoldMode) error {
	at, ok := b.(gateBarrier)
	if !ok {
		return nil
	}
	if _, err := at.client().Status(ctx); err != nil {
		return at.explain(err, mode)
	}
	return nil
}

// explain says what can be done about a gate that does not hold.
func (b gateBarrier) explain(err error, mode snapshot.HoldMode) error {
	switch {
	case errors.Is(err, quiesce.ErrNoGate) && mode == snapshot.HoldSwap:
		return &withHint{fmt.Errorf("the gate at %s: %w", b.gate.Control, err),
			"start it (\"holdfast gate --help\"), or restore without holding: --live; visitors may then see a mixture while data is swapped"}
	case errors.Is(err, quiesce.ErrNoGate):
		return &withHint{fmt.Errorf("the gate at %s: %w", b.gate.Control, err),
			"start it (\"holdfast gate --help\"), or take a snapshot without holding: --live"}
	case isHoldTime(err) && mode == snapshot.HoldSwap:
		return &withHint{fmt.Errorf("%w: %w", snapshot.ErrHoldTime, err),
			"try again when that request is done; drain and max_hold beneath gate: in holdfast.yaml allow more time, \"holdfast gate --pass\" lets a path through, and --live restores without holding: visitors may then see a mixture while data is swapped"}
	case isHoldTime(err):
		return &withHint{fmt.Errorf("%w: %w", snapshot.ErrHoldTime, err),
			"--on-timeout live takes the snapshot all the same; drain and max_hold beneath gate: in holdfast.yaml allow more time"}
	}
	return fmt.Errorf("the gate at %s: %w", b.gate.Control, err)
}

func isHoldTime(err error) bool {
	return errors.Is(err, quiesce.ErrRunning) || errors.Is(err, quiesce.ErrOverdue)
}

// gateHold is a hold at a gate.
type gateHold struct {
	barrier gateBarrier
	*quiesce.Hold
}

// Release implements snapshot.Held.
func (h gateHold) Release() snapshot.Released {
	report, err := h.Hold.Release()
	if err != nil {
		// The gate is gone, or a new one has come, which keeps shut what a swap of the
		// old one has left, until it is told that the environment is whole.
		_ = h.barrier.client().Settled(context.Background())
		return snapshot.Released{Broken: err, Hold: &repo.Hold{Broken: err.Error()}}
	}
	r := snapshot.Released{Held: report.Held, Hold: &repo.Hold{Drained: report.Drained, Requests: uint64(report.Requests),
		LongestWait: report.LongestWait, Passed: uint64(report.Passed), Refused: uint64(report.Refused), Left: uint64(report.Left),
		Frozen: report.Frozen, Trouble: report.Trouble, Unheld: uint64(report.Unheld), FirstUnheld: report.FirstUnheld}}
	if !report.Whole {
		r.Broken = h.Cause()
		if r.Broken == nil {
			r.Broken = quiesce.ErrLost
		}
		if isHoldTime(r.Broken) {
			r.Broken = fmt.Errorf("%w: %w", snapshot.ErrHoldTime, r.Broken)
		}
	}
	return r
}

// settled tells the gate that no restore of its environment is unfinished.
func (app *env) settled(ctx context.Context, b snapshot.Barrier) {
	at, ok := b.(gateBarrier)
	if !ok {
		return
	}
	err := at.client().Settled(ctx)
	if err != nil && !errors.Is(err, quiesce.ErrNoGate) { // for a gate that is not there nobody waits
		app.console.warn("the gate at %s was not told that the environment is whole: %v", at.gate.Control, err)
	}
}

// unheldText says what may have been written though requests were held; "" where
// nothing may.
func unheldText(h *repo.Hold) string {
	if h.Unheld == 0 {
		return ""
	}
	return fmt.Sprintf("%s that passed may have written meanwhile: %s", count(h.Unheld), andOthers(h.FirstUnheld, h.Unheld))
}

// pastGateText says of a service what was written to it though requests were held.
func pastGateText(s repo.Service) string {
	return "written past the gate after it was marked, " + s.Unheld + ": freeze what writes there (\"holdfast gate --help\")"
}

func andOthers(first string, n uint64) string {
	if n > 1 {
		return first + " and others"
	}
	return first
}

// holdText says what a hold was like for visitors.
func holdText(h *repo.Hold) string {
	text := fmt.Sprintf("%s waited, the longest %s", several(h.Requests, "request"), brief(h.LongestWait))
	for _, c := range []struct {
		n    uint64
		what string
	}{{h.Passed, "passed"}, {h.Refused, "were refused"}, {h.Left, "hung up"}} {
		if c.n > 0 {
			text += fmt.Sprintf(", %s %s", count(c.n), c.what)
		}
	}
	return text
}
