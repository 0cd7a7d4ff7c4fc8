package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"holdfast/bench/corpus"
	"holdfast/bench/disk"
	"holdfast/bench/report"
)

// databases is the command of that name: a database on a real server, saved every
// simulated day by Holdfast and by the server's own dump piped into each of the
// others, and restored into another database at the end.
func databases(ctx context.Context, args []string) error {
	o := newOptions("databases", "holdfast,restic,kopia")
	number := o.flags.Int("days", 30, "how many days after the first")
	scale := o.flags.Float64("scale", 1, "size of the database: 1 is a dump of about 660 MB")
	product := o.flags.String("server", "mariadb", "mariadb or postgres")
	keep := o.flags.String("keep", "", "keep server and repositories in this directory, so that the same call goes on there after an interruption; needs --out")
	restores := o.flags.Int("restores", 3, "how often the last day is restored")
	if err := o.parse(args); err != nil {
		return err
	}
	if *number < 1 || *restores < 1 {
		return errors.New("--days and --restores: want at least 1")
	}
	which, err := productOf(*product)
	if err != nil {
		return err
	}
	if *keep != "" && o.out == "" {
		return errors.New("--keep: want --out, too, which says how far it came")
	}
	o.kind = "database"
	r, leftOut, err := o.start()
	if err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	if *keep != "" {
		if r.dir, err = filepath.Abs(*keep); err != nil {
			return err
		}
	}
	d := &report.Days{Common: o.common("days", *scale, leftOut)}
	dump, _, _ := strings.Cut(filepath.Base(which.dump("", savedDatabase)), " ")
	d.Data = which.name() + ", " + d.Data + "; the others by " + dump + " in a pipe"
	if *keep != "" {
		if err := o.goOnDays(d); err != nil {
			return err
		}
	}
	s, err := startServer(ctx, which, filepath.Join(r.dir, "server"))
	if err != nil {
		return err
	}
	defer s.stop()
	b := &databaseRace{race: r, server: s, data: corpus.Database{Seed: o.seed, Size: int64(*scale * 660e6), Dialect: which.dialect()}}
	if err := b.month(ctx, d, *number, *restores, func() error { return o.save(d) }); err != nil {
		return err
	}
	return o.show(os.Stdout, d)
}

// goOnDays takes over the days that an earlier call has measured.
func (o *options) goOnDays(d *report.Days) error {
	held := new(report.Days)
	if err := o.resume(held); err != nil || len(held.Tools) == 0 {
		return err
	}
	if err := o.same(held.Common, d.Common); err != nil {
		return err
	}
	*d = *held
	return nil
}

// productOf finds what is to be measured.
func productOf(name string) (product, error) {
	switch name {
	case "mariadb":
		return mariadb{}, nil
	case "postgres":
		return findPostgres()
	}
	return nil, fmt.Errorf("--server: want mariadb or postgres, found %q", name)
}

// databaseRace is a race whose data are in a server.
type databaseRace struct {
	*race
	server *server
	data   corpus.Database
}

const (
	savedDatabase    = "shop"
	restoredDatabase = "shop_copy"
)

// pipes are what a shell is given for each tool: a snapshot of the database, and
// the last one into another database, which is empty or, for Holdfast, not there.
// {dump} and {client} stand for the server's own.
var pipes = map[string]struct{ create, restore string }{
	report.Holdfast: {"{program} snapshot create --quiet -e master", "{program} snapshot restore latest --quiet --yes -e master --target copy"},
	"restic": {"{dump} | {program} backup --quiet --stdin --stdin-filename shop.sql",
		"{program} dump --quiet latest shop.sql | {client}"},
	"kopia": {"{dump} | {program} snapshot create --no-progress --stdin-file=shop.sql {home}/shop",
		"{program} show $({program} snapshot list --json --no-auto-maintenance {home}/shop | python3 -c 'import json, sys; print(json.load(sys.stdin)[-1][\"rootEntry\"][\"obj\"])')/shop.sql | {client}"},
	"borg": {"{dump} | {program} create --compression zstd,1 --stdin-name shop.sql {repo}::{archive} -",
		"{program} extract --stdout {repo}::{archive} | {client}"},
}

// places makes an empty repository for each tool.
func (b *databaseRace) places(ctx context.Context) ([]*place, error) {
	var all []*place
	for _, t := range b.tools {
		if _, ok := pipes[t.name]; !ok {
			return nil, fmt.Errorf("%s cannot save a database", t.name)
		}
		if t.name == report.Holdfast {
			t.files = map[string]string{"password": password + "\n", "holdfast.yaml": fmt.Sprintf(
				"project: bench\nrepository: {repo}\nenvironments:\n  master:\n    services:\n      database: %s\n"+
					"  copy:\n    services:\n      database: %s\n",
				b.server.address(b.server.dir, savedDatabase), b.server.address(b.server.dir, restoredDatabase))}
		}
		p, err := newPlace(ctx, t, filepath.Join(b.dir, t.name), "", "")
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// shell makes a command of a line of pipes. A pipe of which any part fails, fails.
func (b *databaseRace) shell(p *place, line string) command {
	line = strings.NewReplacer("{program}", p.tool.program, "{dump}", b.server.dump(b.server.dir, savedDatabase),
		"{client}", strings.Join(append(b.server.client(b.server.dir), restoredDatabase), " ")).Replace(line)
	c := p.command("", p.tool.env)
	c.program, c.args = "bash", []string{"-o", "pipefail", "-c", p.expand(line)}
	return c
}

// measure runs a line of pipes, and tells the server's part in it apart.
func (b *databaseRace) measure(ctx context.Context, p *place, line string) (report.Measurement, error) {
	before, err := b.server.cpu()
	if err != nil {
		return report.Measurement{}, err
	}
	m, err := measure(ctx, b.self, b.shell(p, line))
	if err != nil {
		return m, err
	}
	after, err := b.server.cpu()
	m.ServerCPU = after - before
	return m, err
}

// month plays the days through that d does not have yet, then the restores, and calls
// done after each day.
func (b *databaseRace) month(ctx context.Context, d *report.Days, number, restores int, done func() error) error {
	places, err := b.places(ctx)
	if err != nil {
		return err
	}
	from := 0
	if d.Tools == nil {
		for _, p := range places {
			d.Tools = append(d.Tools, &report.DaysTool{Name: p.tool.name, Release: p.tool.release()})
		}
	} else if from = d.Days + 1; len(d.Tools) != len(places) {
		return fmt.Errorf("%d tools were measured before, now there are %d", len(d.Tools), len(places))
	}
	for i, p := range places {
		if p.tool.name != d.Tools[i].Name {
			return fmt.Errorf("%s was measured before, now there is %s", d.Tools[i].Name, p.tool.name)
		}
		p.archives = from
	}
	for day := from; day <= number; day++ {
		if err := b.play(ctx, day); err != nil {
			return fmt.Errorf("day %d: %w", day, err)
		}
		for turn := range places {
			i := (turn + day) % len(places)
			if err := b.save(ctx, places[i], day, d.Tools[i]); err != nil {
				return fmt.Errorf("%s, day %d: %w", places[i].tool.name, day, err)
			}
		}
		d.Days = day
		if err := done(); err != nil {
			return err
		}
	}
	want, err := b.server.sums(ctx, savedDatabase)
	if err != nil {
		return err
	}
	for number := len(d.Tools[0].Restores); number < restores; number++ {
		for turn := range places {
			i := (turn + number) % len(places)
			if err := b.restore(ctx, places[i], want, d.Tools[i]); err != nil {
				return fmt.Errorf("%s, restore: %w", places[i].tool.name, err)
			}
		}
		if err := done(); err != nil {
			return err
		}
	}
	return nil
}

// play makes the database what it is on that day.
func (b *databaseRace) play(ctx context.Context, day int) error {
	if day == 0 {
		statements := "DROP DATABASE IF EXISTS " + savedDatabase + "; " + b.server.create(savedDatabase)
		if _, err := b.server.query(ctx, statements); err != nil {
			return err
		}
	}
	err := b.server.load(ctx, savedDatabase, func(w io.Writer) error { return b.data.Write(ctx, w, day) })
	if err != nil {
		return err
	}
	return b.server.rest(ctx, b.server)
}

// save takes one snapshot.
func (b *databaseRace) save(ctx context.Context, p *place, day int, into *report.DaysTool) error {
	p.archives++
	if err := os.MkdirAll(filepath.Join(p.home, "shop"), 0o700); err != nil { // what kopia calls the pipe
		return err
	}
	syscall.Sync()
	m, err := b.measure(ctx, p, pipes[p.tool.name].create)
	if err != nil {
		return err
	}
	repository, err := disk.Measure(p.repo)
	if err != nil {
		return err
	}
	grown := repository.Bytes
	if day > 0 {
		grown -= into.Repository[day-1]
	}
	b.say("  day %-3d %-10s %8.2f s %8.2f s CPU %5d MB; stored %.1f MB", day, p.tool.name, m.Seconds, m.CPU, m.Peak/1e6, float64(grown)/1e6)
	into.Create = append(into.Create, m)
	into.Repository = append(into.Repository, repository.Bytes)
	return nil
}

// restore restores the last snapshot into another database, and compares that.
func (b *databaseRace) restore(ctx context.Context, p *place, want string, into *report.DaysTool) error {
	statement := "DROP DATABASE IF EXISTS " + restoredDatabase
	if p.tool.name != report.Holdfast {
		statement += "; " + b.server.create(restoredDatabase)
	}
	if _, err := b.server.query(ctx, statement); err != nil {
		return err
	}
	if err := b.server.rest(ctx, b.server); err != nil {
		return err
	}
	syscall.Sync()
	m, err := b.measure(ctx, p, pipes[p.tool.name].restore)
	if err != nil {
		return err
	}
	got, err := b.server.sums(ctx, restoredDatabase)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("it restored something else:\n%swant\n%s", got, want)
	}
	b.say("  restore %-10s %8.2f s %8.2f s CPU %5d MB", p.tool.name, m.Seconds, m.CPU, m.Peak/1e6)
	into.Restores = append(into.Restores, m)
	into.Restore = m
	return nil
}
