package environment

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// service reads a URL, or a URL with its password apart and more.
func (d *document) service(c *Config, f field) (Service, bool) {
	s := Service{Name: f.key, at: Problem{File: d.file, Line: f.line, Path: f.path}}
	at := f
	var password, passwordFile, accounts field
	if n := d.resolve(f); n != nil && n.Kind == yaml.MappingNode {
		fields := d.known(f, serviceKeys...)
		password, passwordFile, accounts = fields["password"], fields["password_file"], fields["accounts"]
		s.SchemaOnly = d.schemaOnly(fields["schema_only"])
		var ok bool
		if at, ok = fields["url"]; !ok {
			d.problem(f, "has no url; expected a URL, or url with password or password_file")
			return s, false
		}
	}
	t, ok := d.template(at, "a URL such as mysql://user@host:3306/name")
	if !ok {
		return s, false
	}
	parsed, err := parseURL(t, d.lookup)
	if err != nil {
		d.expandProblem(at, err)
		return s, false
	}
	s.URL, s.Password = parsed.url, parsed.password
	if parsed.literalPassword {
		c.literalPassword = true
	}
	d.checkURL(c, at, s.URL)
	s.Accounts = d.accounts(accounts, s.URL)
	return s, d.password(c, &s, password, passwordFile)
}

// password reads where the password of a service comes from, apart from its URL.
func (d *document) password(c *Config, s *Service, password, file field) bool {
	given := 0
	for _, there := range []bool{s.Password != "", password.node != nil, file.node != nil} {
		if there {
			given++
		}
	}
	if given > 1 {
		d.problems = append(d.problems, s.withText("has more than one password; expected one of: in the url, password, password_file"))
		return false
	}
	switch {
	case password.node != nil:
		t, ok := d.scalar(password, "a password")
		if !ok {
			return false
		}
		value, err := t.text(d.lookup)
		if err != nil {
			d.expandProblem(password, err)
			return false
		}
		s.Password = Secret(value)
		c.literalPassword = c.literalPassword || len(t.names) == 0
	case file.node != nil:
		s.passwordFile = d.path(file, c.directory())
		s.at.Line, s.at.Path = file.line, file.path
	}
	return true
}

func (s *Service) withText(text string) Problem {
	p := s.at
	p.Text = text
	return p
}

// checkURL checks what is the same for all kinds of services.
func (d *document) checkURL(c *Config, f field, u *url.URL) {
	if known := c.input.Schemes; len(known) > 0 && !slices.Contains(known, u.Scheme) {
		d.problem(f, "is a URL of the unknown kind %q; expected %s%s", shown(u.Scheme), alternatives(known), didYouMean(u.Scheme, known))
		return
	}
	if isFile(u) {
		if d.noTilde(f, u.Path) {
			u.Path = absolute(c.directory(), u.Path)
		}
		return
	}
	if u.Host == "" && u.Query().Get("socket") == "" && u.Query().Get("host") == "" {
		d.problem(f, "names no server; expected %s://user@host:port/name, or ?socket=/path", u.Scheme)
	}
	for key := range u.Query() {
		if k := strings.ToLower(key); strings.Contains(k, "passw") || k == "pwd" || k == "token" {
			d.problem(f, "has a password in its query; expected it in front of the host, or in password or password_file")
		}
	}
}

// String shows the service without its password.
func (s Service) String() string { return fmt.Sprintf("%s (%s)", s.Name, s.URL) }
