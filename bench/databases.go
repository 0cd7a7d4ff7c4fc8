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
	o.kind = "database"
	r, leftOut, err := o.start()
	if err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	s, err := startServer(ctx, which, filepath.Join(r.dir, "server"))
	if err != nil {
		return err
	}
	defer s.stop()
	b := &databaseRace{race: r, server: s, data: corpus.Database{Seed: o.seed, Size: int64(*scale * 660e6), Dialect: which.dialect()}}
	d := &report.Days{Common: o.common("days", *scale, leftOut), Days: *number}
	dump, _, _ := strings.Cut(filepath.Base(which.dump("", savedDatabase)), " ")
	d.Data = which.name() + ", " + d.Data + "; the others by " + dump + " in a pipe"
	if d.Tools, err = b.month(ctx, *number, *restores); err != nil {
		return err
	}
	if err := o.save(d); err != nil {
		return err
	}
	return o.show(os.Stdout, d)
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

// month plays the days through.
func (b *databaseRace) month(ctx context.Context, number, restores int) ([]*report.DaysTool, error) {
	places, err := b.places(ctx)
	if err != nil {
		return nil, err
	}
	columns := make([]*report.DaysTool, len(places))
	for i, p := range places {
		columns[i] = &report.DaysTool{Name: p.tool.name, Release: p.tool.release()}
	}
	for day := range number + 1 {
		if err := b.play(ctx, day); err != nil {
			return nil, fmt.Errorf("day %d: %w", day, err)
		}
		for turn := range places {
			i := (turn + day) % len(places)
			if err := b.save(ctx, places[i], day, columns[i]); err != nil {
				return nil, fmt.Errorf("%s, day %d: %w", places[i].tool.name, day, err)
			}
		}
	}
	want, err := b.server.sums(ctx, savedDatabase)
	if err != nil {
		return nil, err
	}
	for number := range restores {
		for turn := range places {
			i := (turn + number) % len(places)
			if err := b.restore(ctx, places[i], want, columns[i]); err != nil {
				return nil, fmt.Errorf("%s, restore: %w", places[i].tool.name, err)
			}
		}
	}
	return columns, nil
}

// play makes the database what it is on that day.
func (b *databaseRace) play(ctx context.Context, day int) error {
	if day == 0 {
		if _, err := b.server.query(ctx, b.server.create(savedDatabase)); err != nil {
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
	m, err := measure(ctx, b.self, b.shell(p, pipes[p.tool.name].create))
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
	m, err := measure(ctx, b.self, b.shell(p, pipes[p.tool.name].restore))
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
