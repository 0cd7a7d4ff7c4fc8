package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"holdfast/bench/report"
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
	return [steps]string{report.StepFirst, report.StepUnchanged, report.StepNext, report.StepRestore}[s]
}

// A tool is one program with its command lines, in which {repo}, {corpus}, {news}
// and {out} stand for directories, {home} for a directory of the tool's own, where
// its cache and its configuration are, and {archive} for a name that no snapshot
// has yet.
type tool struct {
	name     string
	program  string // found on PATH, unless it has a slash
	install  string // what brings it, said where it is missing
	version  string
	env      []string          // of the measured commands
	files    map[string]string // written below {home}
	setup    []string          // "… > FILE" keeps what is printed
	setupEnv []string          // of those, instead of env
	steps    [steps]string
	sparse   string // flag of restore where holes are to be kept
	alone    []short

	// unchecked tools restore the first day's data, which is no longer there to
	// compare with.
	unchecked bool
}

// A short is a command that does next to nothing, to be measured by itself.
type short struct {
	name string
	line string
	env  []string // instead of the tool's
}

// password protects every repository of a run, which is removed afterwards.
const password = "correct horse battery staple"

// tools returns what is compared, in the order of the columns. self is this
// program, which measures the limit, and holdfast the binary under test.
//
// Holdfast is unlocked by a token, as on a machine; the others have passwords
// only, and what deriving a key from one costs Holdfast is measured apart.
func tools(self, holdfast string) []tool {
	byPassword := []string{"HOLDFAST_CONFIG={home}/holdfast.yaml", "HOLDFAST_PASSWORD_FILE={home}/password"}
	byToken := []string{"HOLDFAST_CONFIG={home}/holdfast.yaml", "HOLDFAST_TOKEN_FILE={home}/token"}
	return []tool{
		{
			name: report.Limit, program: self, unchecked: true,
			steps: [steps]string{
				"limit first {corpus} {repo}", "limit unchanged {corpus} {repo}",
				"limit next {corpus} {repo} {news}", "limit restore {out} {repo}",
			},
		},
		{
			name: report.LimitByBlob, program: self, unchecked: true,
			steps: [steps]string{
				"limit by-blob first {corpus} {repo}", "limit by-blob unchanged {corpus} {repo}",
				"limit by-blob next {corpus} {repo} {news}", "limit by-blob restore {out} {repo}",
			},
		},
		{
			name: report.Holdfast, program: holdfast, install: "make build", version: "--version",
			env: byToken,
			files: map[string]string{
				"password":      password + "\n",
				"holdfast.yaml": "project: bench\nrepository: {repo}\nenvironments:\n  master:\n    mounts:\n      corpus: {corpus}\n",
			},
			setup: []string{"init", "repo key add --token > {home}/token"}, setupEnv: byPassword,
			steps: backups("snapshot create --quiet", "snapshot restore latest --to {out}/new --quiet"),
			alone: []short{
				{report.AloneStart, "--version", nil},
				{report.AloneToken, "repo key list --quiet", byToken},
				{report.AlonePassword, "repo key list --quiet", byPassword},
			},
		},
		{
			name: "restic", program: "restic", install: "make bench-peers", version: "version",
			env:    []string{"RESTIC_REPOSITORY={repo}", "RESTIC_PASSWORD=" + password, "RESTIC_CACHE_DIR={home}/cache"},
			setup:  []string{"init --quiet"},
			steps:  backups("backup --quiet {corpus}", "restore latest --quiet --target {out}"),
			sparse: "--sparse",
			alone:  []short{{report.AloneStart, "version", nil}},
		},
		{
			name: "kopia", program: "kopia", install: "not in Debian: kopia.io/docs/installation", version: "--version",
			env: []string{
				"KOPIA_PASSWORD=" + password, "KOPIA_CONFIG_PATH={home}/repository.config",
				"KOPIA_CACHE_DIRECTORY={home}/cache", "KOPIA_LOG_DIR={home}/log", "KOPIA_CHECK_FOR_UPDATES=false",
			},
			setup:  []string{"repository create filesystem --path={repo}", "policy set --global --compression=zstd-fastest"},
			steps:  backups("snapshot create --no-progress {corpus}", "restore {corpus} {out} --snapshot-time=latest --no-progress"),
			sparse: "--write-sparse-files",
			alone:  []short{{report.AloneStart, "--version", nil}},
		},
		{
			name: "borg", program: "borg", install: "make bench-peers", version: "--version",
			env:    []string{"BORG_PASSPHRASE=" + password, "BORG_BASE_DIR={home}"},
			setup:  []string{"init --encryption=repokey-blake2 {repo}"},
			steps:  backups("create --compression zstd,1 {repo}::{archive} {corpus}", "extract {repo}::{archive}"),
			sparse: "--sparse",
			alone:  []short{{report.AloneStart, "--version", nil}},
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
