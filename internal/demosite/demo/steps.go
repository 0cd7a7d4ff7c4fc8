package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/demosite"
)

// A demo is one run of it.
type demo struct {
	out     io.Writer
	dir     string // of its own
	program string // the holdfast binary
	scale   float64
	rate    int
	seed    uint64

	site    *demosite.Site
	summary []line
}

// A line of the summary.
type line struct {
	what  string
	took  time.Duration
	proof string
}

// A taken is a snapshot and what is known about when it was taken.
type taken struct {
	name   string
	window demosite.Window
	stored int64 // how much larger the repository became
	took   time.Duration
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "  "+format+"\n", args...) }

func (d *demo) run(ctx context.Context) (err error) {
	if err := d.setUp(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.site.Close()) }()
	if _, _, err := d.holdfast(ctx, "init"); err != nil {
		return err
	}
	tally, err := d.underTraffic(ctx, d.steps)
	if err != nil {
		return err
	}
	if tally.Failed > 0 {
		return fmt.Errorf("%d of %d requests of the visitors failed, the first: %s", tally.Failed, tally.Requests, tally.Failure)
	}
	return d.conclude(ctx, tally)
}

// conclude looks whether the site itself is unharmed, and sums up.
func (d *demo) conclude(ctx context.Context, tally demosite.Tally) error {
	now, err := d.site.Seq(ctx)
	if err != nil {
		return err
	}
	report, err := d.verify(ctx, d.site.Place(), demosite.Window{From: now, To: now}, "the site itself")
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nMeanwhile %s requests were answered, %s of which changed something. None failed; the longest that a visitor waited was %s.\n"+
		"The site itself is unharmed: %s.\n\n", humanize.Comma(int64(tally.Requests)), humanize.Comma(int64(tally.Changes)), seconds(tally.Slowest), counted(report))
	table := tabwriter.NewWriter(d.out, 0, 0, 3, ' ', 0)
	for _, l := range d.summary {
		fmt.Fprintf(table, "%s\t%s\t%s\n", l.what, seconds(l.took), l.proof)
	}
	return table.Flush()
}

// setUp makes the two environments, the password and the configuration.
func (d *demo) setUp(ctx context.Context) error {
	start := time.Now()
	var err error
	d.site, err = demosite.Create(ctx, d.path("master"), demosite.Options{Seed: d.seed, Scale: d.scale})
	if err != nil {
		return err
	}
	staging, err := demosite.Create(ctx, d.path("staging"), demosite.Options{Seed: d.seed + 1, Scale: d.scale / 20})
	if err == nil {
		err = staging.Close()
	}
	if err == nil {
		err = os.WriteFile(d.path("password"), []byte(rand.Text()+"\n"), 0o600)
	}
	if err == nil {
		err = os.WriteFile(d.path("holdfast.yaml"), []byte(d.configuration()), 0o600)
	}
	if err != nil {
		return errors.Join(err, d.site.Close())
	}
	print, err := demosite.Take(ctx, d.site.Place())
	if err != nil {
		return errors.Join(err, d.site.Close())
	}
	rows, err := bytesIn(d.site.Place().Database)
	if err != nil {
		return errors.Join(err, d.site.Close())
	}
	fmt.Fprintf(d.out, "A small shop, made in %s: %s rows in SQLite (%s) and %d uploads (%s).\nStaging beside it is a smaller site with other contents.\n\n%s",
		seconds(time.Since(start)), humanize.Comma(int64(print.Rows)), megabytes(rows), print.Files, megabytes(print.Bytes), d.configuration())
	return nil
}

func (d *demo) configuration() string {
	var text strings.Builder
	fmt.Fprintf(&text, "project: demo\nrepository: %s\nenvironments:\n", d.path("repository"))
	for _, environment := range []string{"master", "staging"} {
		place := demosite.In(d.path(environment))
		fmt.Fprintf(&text, "  %s:\n", environment)
		if environment == "master" {
			fmt.Fprintf(&text, "    gate: unix:%s\n", d.path("gate.sock"))
		}
		fmt.Fprintf(&text, "    services:\n      database: sqlite:%s\n    mounts:\n      uploads: %s\n", place.Database, place.Uploads)
	}
	return text.String()
}

// underTraffic does steps while visitors use the site and returns what they saw.
func (d *demo) underTraffic(ctx context.Context, steps func(context.Context) error) (tally demosite.Tally, err error) {
	site, stop, err := d.site.Serve()
	if err != nil {
		return tally, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	address, stopGate, err := d.gate(ctx, site)
	if err != nil {
		return tally, err
	}
	defer func() { err = errors.Join(err, stopGate()) }()
	fmt.Fprintf(d.out, "\nThe site answers at %s, its gate at %s, and from now on visitors make %d requests a second there.\n", site, address, d.rate)
	visits, end := context.WithCancel(ctx)
	defer end()
	var group errgroup.Group
	group.Go(func() (err error) {
		tally, err = demosite.Traffic{Address: address, Rate: d.rate, For: time.Hour, Seed: d.seed}.Run(visits)
		return err
	})
	err = steps(ctx)
	end()
	err = errors.Join(err, group.Wait())
	return tally, err
}

// steps is what the demo shows.
func (d *demo) steps(ctx context.Context) error {
	first, err := d.snapshot(ctx, "first day")
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nThe next day, 1 %% of everything changes:\n")
	changed, err := d.site.Change(ctx, 0.01, d.seed)
	if err != nil {
		return err
	}
	d.say("articles edited %d, comments written %d and withdrawn %d, orders %d, uploads %d",
		changed.Edited, changed.Commented, changed.Withdrawn, changed.Ordered, changed.Uploaded)
	second, err := d.snapshot(ctx, "next day")
	if err != nil {
		return err
	}
	if err := d.compareDays(first, second); err != nil {
		return err
	}
	if _, _, err := d.holdfast(ctx, "snapshot", "list", "-e", "master"); err != nil {
		return err
	}
	if err := d.restore(ctx, first); err != nil {
		return err
	}
	if err := d.restoreOneFile(ctx, first); err != nil {
		return err
	}
	if err := d.restoreToDirectory(ctx, second); err != nil {
		return err
	}
	_, _, err = d.holdfast(ctx, "gate", "status", "-e", "master")
	return err
}

// snapshot takes one of the site under traffic.
func (d *demo) snapshot(ctx context.Context, description string) (taken, error) {
	var t taken
	before, err := bytesIn(d.path("repository"))
	if err != nil {
		return t, err
	}
	if t.window.From, err = d.site.Seq(ctx); err != nil {
		return t, err
	}
	var printed string
	printed, t.took, err = d.holdfast(ctx, "snapshot", "create", "-e", "master", "--description", description)
	if err != nil {
		return t, err
	}
	if t.window.To, err = d.site.Settled(ctx); err != nil {
		return t, err
	}
	const label = "Snapshot name: "
	if !strings.HasPrefix(printed, label) || strings.Count(printed, "\n") != 1 {
		return t, fmt.Errorf("snapshot create printed %q, want one line that begins with %q", printed, label)
	}
	t.name = strings.TrimSpace(strings.TrimPrefix(printed, label))
	after, err := bytesIn(d.path("repository"))
	t.stored = after - before
	d.say("The repository grew by %s; meanwhile visitors made %d changes.", megabytes(t.stored), t.window.To-t.window.From)
	return t, err
}

// compareDays says what the second day stored.
func (d *demo) compareDays(first, second taken) error {
	history, err := d.history()
	if err != nil {
		return err
	}
	files, size := history.Uploaded(first.window.To, second.window.To)
	share := fmt.Sprintf("%s stored, %.1f %% of the first day", megabytes(second.stored), 100*float64(second.stored)/float64(first.stored))
	d.say("%s; %s of it are %d new uploads, which do not compress.", share, megabytes(size), files)
	d.summary = append(d.summary,
		line{"snapshot of the first day", first.took, megabytes(first.stored) + " stored"},
		line{"snapshot of the next day", second.took, share})
	return nil
}

func (d *demo) history() (demosite.History, error) {
	return demosite.ReadHistory(demosite.HistoryFile(d.path("master")))
}

// restore puts the first day into staging and compares it with what the site was then.
func (d *demo) restore(ctx context.Context, t taken) error {
	_, took, err := d.holdfast(ctx, "snapshot", "restore", t.name, "-e", "master", "--target", "staging", "--yes")
	if err != nil {
		return err
	}
	return d.prove(ctx, demosite.In(d.path("staging")), t, took, "the first day in staging")
}

// restoreToDirectory writes a snapshot into a directory and compares it.
func (d *demo) restoreToDirectory(ctx context.Context, t taken) error {
	_, took, err := d.holdfast(ctx, "snapshot", "restore", t.name, "-e", "master", "--to", "next-day")
	if err != nil {
		return err
	}
	place := demosite.Place{Database: d.path("next-day/database.sqlite"), Uploads: d.path("next-day/uploads")}
	return d.prove(ctx, place, t, took, "the next day in a directory")
}

// prove compares what was restored with what the site was when t was taken.
func (d *demo) prove(ctx context.Context, place demosite.Place, t taken, took time.Duration, what string) error {
	report, err := d.verify(ctx, place, t.window, what)
	if err != nil {
		return err
	}
	d.say("Verified: %s.", counted(report))
	d.say("This is the site after its change %s; create ran from change %s to %s.",
		humanize.Comma(report.Seq), humanize.Comma(t.window.From), humanize.Comma(t.window.To))
	if report.Ahead > 0 {
		return fmt.Errorf("%s: %d of the files are later than the rows, though visitors were held", what, report.Ahead)
	}
	d.say("Rows and files are of one instant: visitors were held while both were marked.")
	d.summary = append(d.summary, line{what, took, "restored; " + counted(report)})
	return nil
}

// verify compares every row and every byte at place with what the site was in the window.
func (d *demo) verify(ctx context.Context, place demosite.Place, w demosite.Window, what string) (demosite.Report, error) {
	history, err := d.history()
	if err != nil {
		return demosite.Report{}, err
	}
	report, err := history.Verify(ctx, place, w)
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		return report, fmt.Errorf("%s differs:\n%w", what, err)
	}
	return report, nil
}

func counted(r demosite.Report) string {
	return fmt.Sprintf("all %s rows and %s files (%s) are as they were", humanize.Comma(int64(r.Rows)), humanize.Comma(int64(r.Files)), megabytes(r.Bytes))
}

// restoreOneFile takes the first upload of all out of a snapshot.
func (d *demo) restoreOneFile(ctx context.Context, t taken) error {
	history, err := d.history()
	if err != nil {
		return err
	}
	path := history.FirstUpload().Path
	_, took, err := d.holdfast(ctx, "snapshot", "restore", t.name, "-e", "master", "--path", "uploads/"+path, "--to", "one-file")
	if err != nil {
		return err
	}
	restored, err := onlyFile(d.path("one-file"))
	if err != nil {
		return err
	}
	got, err := os.ReadFile(restored)
	if err != nil {
		return err
	}
	want, err := os.ReadFile(filepath.Join(d.site.Place().Uploads, path))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s differs from the upload %s", restored, path)
	}
	proof := fmt.Sprintf("its %s bytes are as they were", humanize.Comma(int64(len(got))))
	d.say("Verified: %s.", proof)
	d.summary = append(d.summary, line{"one file of the first day", took, "restored; " + proof})
	return nil
}

// onlyFile returns the one regular file below dir.
func onlyFile(dir string) (string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			found = append(found, path)
		}
		return err
	})
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%s holds %d files, want one", dir, len(found))
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}
