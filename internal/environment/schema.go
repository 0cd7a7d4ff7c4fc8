package environment

import (
	"path/filepath"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones are valid on machines that have none installed, too

	"go.yaml.in/yaml/v3"
)

// The keys, in the order in which messages list them.
var (
	topKeys         = []string{"project", "repository", "password_file", "retention", "environments"}
	environmentKeys = []string{"services", "mounts", "exclude", "gate", "retention", "timezone", "parent"}
	serviceKeys     = []string{"url", "password", "password_file", "schema_only", "accounts"}
)

// config reads the whole file into c.
func (d *document) config(c *Config, data []byte) {
	top := d.parseYAML(data)
	if n := top.node; n != nil && n.Kind != yaml.MappingNode && !isNull(n) {
		d.problem(top, "the file is %s; expected keys with values", kindOf(n))
	}
	if len(d.problems) > 0 {
		return
	}
	fields := d.known(top, topKeys...)
	if !c.isOutside(c.input.Flags.Project, "HOLDFAST_PROJECT") {
		if f, ok := d.required(top, fields, "project", "a name such as shop"); ok {
			c.Project = d.name(f)
		}
	}
	if !c.isOutside(c.input.Flags.Repository, "HOLDFAST_REPO") {
		if f, ok := d.required(top, fields, "repository", "a path such as /var/lib/holdfast/shop"); ok {
			c.Repository = d.repository(f, c.directory())
		}
	}
	if f, ok := fields["password_file"]; ok {
		if _, ok := d.template(f, "a path"); ok {
			c.passwordFile = f
		}
	}
	if f, ok := fields["retention"]; ok {
		c.retention = d.retention(c, f, c.retention)
	}
	for _, f := range d.mapping(fields["environments"]) {
		c.environments = append(c.environments, d.environment(c, f))
	}
	d.parents(c)
}

func (c *Config) directory() string { return filepath.Dir(c.File) }

func (d *document) required(top field, fields map[string]field, key, expected string) (field, bool) {
	f, ok := fields[key]
	if !ok {
		d.problem(field{line: top.line, path: key}, "missing; expected %s", expected)
	}
	return f, ok
}

// name returns a name that is a value.
func (d *document) name(f field) string {
	name, ok := d.text(f, "a name")
	if ok && !validName(name) {
		d.problem(f, "%s", nameProblem(name))
	}
	return name
}

func (d *document) repository(f field, directory string) string {
	value, ok := d.text(f, "a path")
	if !ok || !d.noTilde(f, value) {
		return ""
	}
	return repositoryPlace(directory, value)
}

// path returns a path as absolute and clean.
func (d *document) path(f field, directory string) string {
	value, ok := d.text(f, "a path")
	if !ok || !d.noTilde(f, value) {
		return ""
	}
	return absolute(directory, value)
}

func (d *document) noTilde(f field, path string) bool {
	if strings.HasPrefix(path, "~") {
		d.problem(f, `begins with "~", which only a shell expands; expected ${HOME} or an absolute path`)
		return false
	}
	return true
}

func (d *document) environment(c *Config, f field) Environment {
	e := Environment{Name: f.key}
	d.unset = &e.unset
	defer func() { d.unset = nil }()

	if !validName(f.key) {
		d.problem(f, "%s", nameProblem(f.key))
	}
	fields := d.known(f, environmentKeys...)
	lines := map[string]int{}
	for _, s := range d.mapping(fields["services"]) {
		d.member(s, lines)
		if service, ok := d.service(c, s); ok {
			e.Services = append(e.Services, service)
		}
	}
	for _, m := range d.mapping(fields["mounts"]) {
		d.member(m, lines)
		if mount, ok := d.mount(m, c.directory()); ok {
			e.Mounts = append(e.Mounts, mount)
		}
	}
	for _, x := range d.list(fields["exclude"]) {
		if pattern, ok := d.exclude(x, lines); ok {
			e.Exclude = append(e.Exclude, pattern)
		}
	}
	if g, ok := fields["gate"]; ok {
		e.Gate = d.gate(g, c.directory())
	}
	e.retention = c.retention
	if f, ok := fields["retention"]; ok {
		e.retention = d.retention(c, f, c.retention)
	}
	if z, ok := fields["timezone"]; ok {
		e.Timezone = d.timezone(z)
	}
	if p, ok := fields["parent"]; ok {
		e.Parent, e.parentAt = d.name(p), p
	}
	d.overlaps(c, f, e, lines)
	return e
}

// member checks the name of a service or mount; both share one namespace,
// because each is a name at the top of a snapshot.
func (d *document) member(f field, lines map[string]int) {
	if !validName(f.key) {
		d.problem(f, "%s", nameProblem(f.key))
	}
	if line, ok := lines[f.key]; ok {
		d.problem(f, "is the name of a service in line %d; services and mounts need names of their own", line)
		return
	}
	lines[f.key] = f.line
}

func (d *document) mount(f field, directory string) (Mount, bool) {
	p := d.path(f, directory)
	if p == "/" {
		d.problem(f, `is "/"; expected a directory beneath it`)
	}
	return Mount{Name: f.key, Path: p}, p != ""
}

// exclude returns a pattern. One that is anchored to a name that is neither
// mount nor service could never match.
func (d *document) exclude(f field, members map[string]int) (string, bool) {
	pattern, ok := d.text(f, "a pattern such as uploads/cache/**")
	if !ok {
		return "", false
	}
	first, rest, inner := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(pattern, "!"), "/"), "/")
	anchored := strings.HasPrefix(pattern, "/") || strings.HasPrefix(pattern, "!/") || inner && rest != ""
	if _, known := members[first]; anchored && !known && !strings.ContainsAny(first, `*?[\`) {
		var names []string
		for name := range members {
			names = append(names, name)
		}
		slices.Sort(names)
		d.problem(f, "begins with %q, which is neither a mount nor a service%s; expected a mount's name, or **/ for any directory",
			shown(first), didYouMean(first, names))
	}
	return pattern, true
}

func (d *document) timezone(f field) string {
	name, ok := d.text(f, "a time zone such as Europe/Berlin")
	if !ok {
		return ""
	}
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		d.problem(f, "%q is not a time zone; expected one such as Europe/Berlin or UTC", shown(name))
	}
	return name
}

// parents refuses environments that descend from themselves. A parent that the
// file does not define is allowed: it may live on another machine.
func (d *document) parents(c *Config) {
	parent := map[string]string{}
	for _, e := range c.environments {
		parent[e.Name] = e.Parent
	}
	for _, e := range c.environments {
		at := e.Parent
		for range len(parent) {
			if at == e.Name {
				d.problem(e.parentAt, "%s would be its own parent environment", e.Name)
				break
			}
			at = parent[at]
		}
	}
}
