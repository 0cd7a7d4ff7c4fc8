package environment

import (
	"fmt"
	"net/url"
	"regexp"

	"holdfast/internal/retention"
)

// Flags are the global flags; "" where one was not given.
type Flags struct {
	Config       string // --config
	Repository   string // --repo
	PasswordFile string // --password-file
	Project      string // --project
	Environment  string // --environment
}

// Input is all that a configuration is made from.
type Input struct {
	Flags  Flags
	Lookup Lookup // os.LookupEnv
	// Directory is the current one, absolute: where the search for holdfast.yaml
	// begins, and what paths in flags and variables count from.
	Directory string
	// Schemes are the URL schemes of the services that this program knows; none
	// lets every scheme pass.
	Schemes []string
}

// Config is what the file, the variables and the flags say together.
type Config struct {
	File       string // absolute path; "" where there is none
	Project    string // "" only without a file
	Repository string // absolute path, or a URL
	// Warnings are sentences about what is allowed but should not be.
	Warnings []string

	input        Input
	environments []Environment
	retention    retention.Policy // of all that define none
	misretained  []Problem        // what Retention refuses the file for
	passwordFile field            // in the file; its node is nil where there is none
	shown        string           // File, as messages name it

	literalPassword bool // the file itself holds one
}

// Environment is one environment's definition.
type Environment struct {
	Name     string
	Services []Service // in order of the file
	Mounts   []Mount   // in order of the file
	Exclude  []string  // gitignore patterns on paths that begin with a mount's name
	Gate     Gate
	Timezone string // as time.LoadLocation takes it; "" for the machine's own
	Parent   string // the parent environment; "" for none

	retention retention.Policy
	unset     []Problem // what Select refuses it for
	parentAt  field
}

// Service is one database or the like.
type Service struct {
	Name     string
	URL      *url.URL // without a password; of a sqlite service the Path is absolute
	Password Secret
	// SchemaOnly are patterns of tables whose rows are left out, and names of known
	// lists of them, as written; TablePatterns has the patterns.
	SchemaOnly []string
	// Accounts says that users or roles of the server belong to the service, too.
	Accounts bool

	passwordFile string // absolute; Select reads it
	at           Problem
}

// Mount is one directory.
type Mount struct {
	Name string `json:"name"`
	Path string `json:"path"` // absolute
}

// Secret is a password or token. It does not show itself; string(s) does.
type Secret string

// String returns a placeholder.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString returns a placeholder, for %#v.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// MarshalText returns a placeholder, for JSON and the like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// FileName is what the configuration is called.
const FileName = "holdfast.yaml"

// Load finds and reads the configuration. Without a file it returns what flags
// and variables say, if they name a repository, and an error that wraps
// ErrNoConfig otherwise. Mistakes come as *InvalidError.
func Load(in Input) (*Config, error) {
	c := &Config{input: in, retention: retention.Default()}
	path, err := find(in)
	if err != nil {
		return nil, err
	}
	d := &document{lookup: in.Lookup}
	if path != "" {
		c.File, c.shown = path, relative(in.Directory, path)
		d.file = c.shown
		data, err := readFile(path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", c.shown, err)
		}
		d.config(c, data)
		if c.literalPassword && isPublic(path) {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s holds a password and everybody can read it: chmod o= %s, or take it from ${A_VARIABLE}", c.shown, c.shown))
		}
	}
	c.outside(d)
	if err := invalid(d.problems); err != nil {
		return nil, err
	}
	if path == "" && c.Repository == "" {
		return nil, noConfig(in.Directory)
	}
	return c, nil
}

// outside puts what flags and variables say over what the file says.
func (c *Config) outside(d *document) {
	if s := c.setting(c.input.Flags.Repository, "--repo", "HOLDFAST_REPO"); s.value != "" {
		c.Repository = repositoryPlace(c.input.Directory, s.value)
	}
	if s := c.setting(c.input.Flags.Project, "--project", "HOLDFAST_PROJECT"); s.value != "" {
		c.Project = s.value
		if !validName(s.value) {
			d.problems = append(d.problems, Problem{Path: s.origin, Text: nameProblem(s.value)})
		}
	}
}

// setting is a value from a flag or a variable, and which of the two.
type setting struct{ value, origin string }

// setting returns the flag's value, else the variable's. An empty variable
// counts as none.
func (c *Config) setting(value, flag, variable string) setting {
	if value != "" {
		return setting{value, flag}
	}
	value, _ = c.input.Lookup(variable)
	return setting{value, variable}
}

// isOutside reports whether a flag or variable replaces what the file says.
func (c *Config) isOutside(flag, variable string) bool {
	return c.setting(flag, "", variable).value != ""
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

func validName(name string) bool { return namePattern.MatchString(name) }

func nameProblem(name string) string {
	return fmt.Sprintf("%q cannot be a name; expected a-z, then a-z, 0-9, _ or -, at most 63 in all", shown(name))
}
