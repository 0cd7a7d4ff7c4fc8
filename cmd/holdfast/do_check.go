package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"holdfast/repo"
	"holdfast/repo/check"
)

// problemDoc is a problem with its text.
type problemDoc struct {
	*check.Problem
	Error string `json:"error"`
	Next  string `json:"next"`
}

// checkRepository is the action of "repo check".
func checkRepository(ctx context.Context, app *env, o CheckOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if o.VerifyRestore != "" {
		return app.verifyRestore(ctx, r, o)
	}
	var read, total atomic.Int64
	stop := app.watch(func() progress {
		return progress{Step: "checking", Bytes: uint64(read.Load()), TotalBytes: uint64(total.Load())}
	})
	defer stop()
	options := check.Options{ReadData: o.ReadData, Part: o.Part, Rate: o.Rate, Now: app.now, Position: r.CacheFile("check"),
		Progress: func(n, of int64) { read.Store(n); total.Store(of) }}
	report, err := check.Run(ctx, r.Repository, options)
	stop()
	if err != nil {
		return err
	}
	for _, n := range report.Notes {
		app.console.say("%s", n)
	}
	doc := struct {
		*check.Report
		Problems []problemDoc `json:"problems"`
	}{report, []problemDoc{}}
	for _, p := range report.Problems {
		doc.Problems = append(doc.Problems, problemDoc{p, p.Error(), p.Next()})
	}
	if err := app.result(doc, func(w io.Writer) error { return checkText(w, report, o) }); err != nil {
		return err
	}
	if n := len(report.Problems); n > 0 {
		if !slices.ContainsFunc(report.Problems, func(p *check.Problem) bool { return !repo.Foreign(p.Err) }) {
			return fmt.Errorf("%s in %s cannot be read with what is in use here", several(n, "object"), r.config.Repository)
		}
		return &withHint{fmt.Errorf("%s found in %s", several(n, "problem"), r.config.Repository), afterCheck(report)}
	}
	return nil
}

// afterCheck says what to do next. Without the whole index more seems lost than is.
func afterCheck(report *check.Report) string {
	if first, _, _ := strings.Cut(report.Problems[0].Object, "/"); first == "index" {
		return "\"holdfast repo rebuild-index\" first, then \"holdfast repo check\" again: what is not in the index is not found, though it may be there"
	}
	hint := "\"holdfast repo repair --dry-run\" says what can be mended and what is lost"
	if slices.ContainsFunc(report.Problems, func(p *check.Problem) bool { return strings.HasPrefix(p.Object, "packs/") }) {
		hint += "; until \"holdfast repo repair\" has run, new snapshots rely on what is damaged, too"
	}
	return hint
}

func checkText(w io.Writer, report *check.Report, o CheckOptions) error {
	for i, p := range report.Problems {
		text := printable(p.Error())
		if rest := report.Problems[i+1:]; len(rest) == 0 || rest[0].Next() != p.Next() {
			text += "\n  next: " + p.Next()
		}
		if _, err := fmt.Fprintln(w, text); err != nil {
			return err
		}
	}
	if len(report.Problems) > 0 {
		return nil
	}
	how := "their structure; --read-data reads every byte"
	switch {
	case o.ReadData && report.Earlier > 0:
		how = fmt.Sprintf("every byte of %s; %s more packs had been read by the run that was interrupted", size(report.BytesRead), count(uint64(report.Earlier)))
	case o.ReadData:
		how = "every byte of " + size(report.BytesRead)
	case !o.Part.None():
		how = fmt.Sprintf("their structure, and every byte of %s of them, %s", count(uint64(report.PacksRead)), size(report.BytesRead))
	}
	found := fmt.Sprintf("No problems in %d snapshots and %s packs", report.Snapshots, count(uint64(report.Packs)))
	if n := report.Damaged; n > 0 {
		found = fmt.Sprintf("No new problems in %d snapshots and %s packs; %s lost something earlier", report.Snapshots, count(uint64(report.Packs)), several(n, "snapshot"))
	}
	_, err := fmt.Fprintf(w, "%s: checked %s\n", found, how)
	return err
}
