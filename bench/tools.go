package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A step is one measured command of a tool.
type step int

const (
	first     step = iota // into an empty repository
	unchanged             // nothing has changed since
	nextDay               // after a day's changes
	restore               // the last snapshot, into an empty directory
	steps
)

func (s step) String() string {
	return [steps]string{"first", "unchanged", "next day", "restore"}[s]
}

// A tool is one program with its command lines, in which {repo}, {corpus} and
// {out} stand for directories, {home} for a directory of the tool's own, where
// its cache and its configuration are, and {step} for first, unchanged or next.
type tool struct {
	name    string
	program string // found on PATH, unless it has a slash
	install string // what brings it, said where it is missing
	version string
	env     []string
	files   map[string]string // written below {home}
	setup   []string
	steps   [steps]string

	// unchecked tools restore the first day's data, which is no longer there to
	// compare with.
	unchecked bool
}

// password protects every repository of a run, which is removed afterwards.
const password = "correct horse battery staple"

// tools returns what is compared, in the order of the columns. self is this
// program, which measures the limit, and holdfast the binary under test.
func tools(self, holdfast string) []tool {
	return []tool{
		{
			name: "limit", program: self, unchecked: true,
			steps: [steps]string{
				"limit first {corpus} {repo}", "limit unchanged {corpus} {repo}",
				"limit next {corpus} {repo}", "limit restore {out} {repo}",
			},
		},
		{
			name: "holdfast", program: holdfast, install: "make build", version: "--version",
			env: []string{"HOLDFAST_CONFIG={home}/holdfast.yaml", "HOLDFAST_PASSWORD_FILE={home}/password"},
			files: map[string]string{
				"password":      password + "\n",
				"holdfast.yaml": "project: bench\nrepository: {repo}\nenvironments:\n  master:\n    mounts:\n      corpus: {corpus}\n",
			},
			setup: []string{"init"},
			steps: backups("snapshot create --quiet", "snapshot restore latest --to {out}/new --quiet"),
		},
		{
			name: "restic", program: "restic", install: "apt-get install restic", version: "version",
			env:   []string{"RESTIC_REPOSITORY={repo}", "RESTIC_PASSWORD=" + password, "RESTIC_CACHE_DIR={home}/cache"},
			setup: []string{"init --quiet"},
			steps: backups("backup --quiet {corpus}", "restore latest --quiet --target {out}"),
		},
		{
			name: "kopia", program: "kopia", install: "not in Debian: kopia.io/docs/installation", version: "--version",
			env: []string{
				"KOPIA_PASSWORD=" + password, "KOPIA_CONFIG_PATH={home}/repository.config",
				"KOPIA_CACHE_DIRECTORY={home}/cache", "KOPIA_LOG_DIR={home}/log", "KOPIA_CHECK_FOR_UPDATES=false",
			},
			setup: []string{"repository create filesystem --path={repo}", "policy set --global --compression=zstd-fastest"},
			steps: backups("snapshot create --no-progress {corpus}", "restore {corpus} {out} --snapshot-time=latest --no-progress"),
		},
		{
			name: "borg", program: "borg", install: "apt-get install borgbackup", version: "--version",
			env:   []string{"BORG_PASSPHRASE=" + password, "BORG_BASE_DIR={home}"},
			setup: []string{"init --encryption=repokey-blake2 {repo}"},
			steps: backups("create --compression zstd,1 {repo}::{step} {corpus}", "extract {repo}::next"),
		},
	}
}

// backups is the usual case: one command line for every kind of day.
func backups(create, restore string) [steps]string {
	return [steps]string{create, create, create, restore}
}

// find resolves the tool's program to a path, or says how to get it.
func (t *tool) find() error {
	path, err := exec.LookPath(t.program)
	if err != nil {
		return fmt.Errorf("%s is left out, it is not installed (%s)", t.name, t.install)
	}
	t.program, err = filepath.Abs(path)
	return err
}

// release asks the tool for its version, in one line.
func (t *tool) release() string {
	if t.version == "" {
		return ""
	}
	output, err := exec.Command(t.program, strings.Fields(t.version)...).Output()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
	return line
}

// A place is where one tool works during one run.
type place struct{ repo, corpus, out, home string }

func newPlace(dir, corpus string) place {
	return place{
		repo: filepath.Join(dir, "repository"), corpus: corpus,
		out: filepath.Join(dir, "restored"), home: filepath.Join(dir, "home"),
	}
}

func (p place) expand(s string, at step) string {
	return strings.NewReplacer("{repo}", p.repo, "{corpus}", p.corpus, "{out}", p.out, "{home}", p.home,
		"{step}", [steps]string{"first", "unchanged", "next", "restore"}[at]).Replace(s)
}

// prepare makes the directories and configuration files of t.
func (p place) prepare(t tool) error {
	for _, dir := range []string{p.repo, p.home} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for name, content := range t.files {
		if err := os.WriteFile(filepath.Join(p.home, name), []byte(p.expand(content, 0)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// command returns one of t's command lines, ready to run.
func (p place) command(t tool, line string, at step) command {
	c := command{program: t.program, dir: p.home}
	if at == restore {
		c.dir = p.out // borg extracts into where it is
	}
	for _, argument := range strings.Fields(line) {
		c.args = append(c.args, p.expand(argument, at))
	}
	c.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.home, "XDG_CACHE_HOME=" + p.home + "/cache"}
	for _, variable := range t.env {
		c.env = append(c.env, p.expand(variable, at))
	}
	return c
}
