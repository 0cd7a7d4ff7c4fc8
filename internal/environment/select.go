package environment

import (
	"fmt"
	"slices"
	"strings"
)

// Names lists the environments in order of the file.
func (c *Config) Names() []string {
	names := make([]string, len(c.environments))
	for i, e := range c.environments {
		names[i] = e.Name
	}
	return names
}

// Acting returns the name of the environment that the command is about: the one
// that -e or HOLDFAST_ENVIRONMENT names, else the only one. It does not need the
// environment's secrets. Errors wrap ErrNoEnvironment.
func (c *Config) Acting() (string, error) {
	s := c.setting(c.input.Flags.Environment, "--environment", "HOLDFAST_ENVIRONMENT")
	switch names := c.Names(); {
	case s.value != "" && !validName(s.value):
		return "", Problem{Path: s.origin, Text: nameProblem(s.value)}.invalid()
	case s.value != "" && len(names) > 0 && !slices.Contains(names, s.value):
		return "", c.undefined(s.value)
	case s.value != "":
		return s.value, nil
	case len(names) == 1:
		return names[0], nil
	case len(names) == 0:
		return "", c.undefined("")
	default:
		return "", &hinted{
			kind: ErrNoEnvironment,
			text: fmt.Sprintf("%s has the environments %s; which one?", c.shown, strings.Join(names, ", ")),
			hint: fmt.Sprintf("name it with -e, for example -e %s, or with HOLDFAST_ENVIRONMENT", names[0]),
		}
	}
}

// Select returns the environment of that name, or the acting one for "", ready
// for use: its variables expanded, its password files read. Errors wrap
// ErrNoEnvironment, or are an *InvalidError.
func (c *Config) Select(name string) (Environment, error) {
	if name == "" {
		var err error
		if name, err = c.Acting(); err != nil {
			return Environment{}, err
		}
	}
	i := slices.IndexFunc(c.environments, func(e Environment) bool { return e.Name == name })
	if i < 0 {
		return Environment{}, c.undefined(name)
	}
	e := c.environments[i]
	e.Services = slices.Clone(e.Services)
	problems := slices.Clone(e.unset)
	for i := range e.Services {
		s := &e.Services[i]
		if s.passwordFile == "" {
			continue
		}
		secret, _, err := readSecret(s.passwordFile, "password")
		if err != nil {
			s.at.Text = err.Error()
			problems = append(problems, s.at)
		}
		s.Password = secret
	}
	return e, invalid(problems)
}

func (c *Config) undefined(name string) error {
	where, names := c.shown, c.Names()
	switch {
	case where == "":
		return &hinted{
			kind: ErrNoEnvironment,
			text: "there is no " + FileName + " that says which environments there are",
			hint: "name one with --config, or go to its directory",
		}
	case len(names) == 0:
		return &hinted{
			kind: ErrNoEnvironment,
			text: where + " defines no environment",
			hint: "add one beneath \"environments:\"; \"holdfast init --help\" shows how",
		}
	}
	return &hinted{
		kind: ErrNoEnvironment,
		text: fmt.Sprintf("%s has no environment %q%s", where, shown(name), didYouMean(name, names)),
		hint: "it has " + strings.Join(names, ", "),
	}
}
