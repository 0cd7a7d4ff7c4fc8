package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A place is where one tool works during one run.
type place struct {
	tool   tool
	sparse bool // restore with holes

	dir, repo, corpus, news, home string

	out      string // where the next restore goes
	outs     int    // made so far
	archives int    // made so far, for the tool that wants a name for each
}

// newPlace makes an empty repository of t's beneath dir, or goes on with what is there.
func newPlace(ctx context.Context, t tool, dir, corpus, news string) (*place, error) {
	p := &place{
		tool: t, dir: dir, corpus: corpus, news: news,
		repo: filepath.Join(dir, "repository"), home: filepath.Join(dir, "home"),
	}
	for _, dir := range []string{p.repo, p.home} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	for name, content := range t.files {
		if err := os.WriteFile(filepath.Join(p.home, name), []byte(p.expand(content)), 0o600); err != nil {
			return nil, err
		}
	}
	if begun, err := os.ReadDir(p.repo); err != nil || len(begun) > 0 {
		return p, err
	}
	env := t.setupEnv
	if env == nil {
		env = t.env
	}
	for _, line := range t.setup {
		if err := p.setUp(ctx, line, env); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// newOut makes another empty directory to restore into.
func (p *place) newOut() error {
	p.outs++
	p.out = filepath.Join(p.dir, fmt.Sprintf("restored%d", p.outs))
	return os.Mkdir(p.out, 0o700)
}

// setUp runs a command that is not measured. What it prints goes to the file
// behind " > ", if there is one.
func (p *place) setUp(ctx context.Context, line string, env []string) error {
	line, file, kept := strings.Cut(line, " > ")
	c := p.command(line, env)
	child := exec.CommandContext(ctx, c.program, c.args...)
	child.Env, child.Dir = c.env, c.dir
	var said bytes.Buffer
	child.Stderr = &said
	printed, err := child.Output()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", c, err, tail(said.Bytes()))
	}
	if !kept {
		return nil
	}
	return os.WriteFile(p.expand(file), printed, 0o600)
}

func (p *place) expand(s string) string {
	return strings.NewReplacer("{repo}", p.repo, "{corpus}", p.corpus, "{news}", p.news, "{out}", p.out, "{home}", p.home,
		"{archive}", fmt.Sprintf("archive%d", p.archives)).Replace(s)
}

// step returns one of the tool's steps, ready to run.
func (p *place) step(at step) command {
	line := p.tool.steps[at]
	if at != restore {
		p.archives++
		return p.command(line, p.tool.env)
	}
	if p.sparse && p.tool.sparse != "" {
		verb, rest, _ := strings.Cut(line, " ")
		line = verb + " " + p.tool.sparse + " " + rest
	}
	c := p.command(line, p.tool.env)
	c.dir = p.out // borg extracts into where it is
	return c
}

// command returns a command line of the tool's, ready to run.
func (p *place) command(line string, env []string) command {
	c := command{program: p.tool.program, dir: p.home}
	for _, argument := range strings.Fields(line) {
		c.args = append(c.args, p.expand(argument))
	}
	c.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.home, "XDG_CACHE_HOME=" + p.home + "/cache"}
	for _, variable := range env {
		c.env = append(c.env, p.expand(variable))
	}
	return c
}
