package environment

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Definition is what a snapshot says about its environment: enough to see, and
// to write down again, what it consisted of. It holds no secrets.
type Definition struct {
	Services []ServiceDefinition `json:"services"`
	Mounts   []Mount             `json:"mounts"`
	Exclude  []string            `json:"exclude,omitempty"`
	Timezone string              `json:"timezone,omitempty"`
	Parent   string              `json:"parent,omitempty"`
}

// ServiceDefinition is a service without its password.
type ServiceDefinition struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	// SchemaOnly is as written: with the names of lists.
	SchemaOnly []string `json:"schema_only,omitempty"`
	Accounts   bool     `json:"accounts,omitempty"`
}

// Definition returns e as it is sealed into a snapshot.
func (e Environment) Definition() Definition {
	d := Definition{Mounts: e.Mounts, Exclude: e.Exclude, Timezone: e.Timezone, Parent: e.Parent}
	for _, s := range e.Services {
		d.Services = append(d.Services, ServiceDefinition{Name: s.Name, URL: s.URL.String(), SchemaOnly: s.SchemaOnly, Accounts: s.Accounts})
	}
	return d
}

// YAML writes d as it stands beneath an environment's name in holdfast.yaml.
func (d Definition) YAML() (string, error) {
	type service struct {
		URL        string   `yaml:"url"`
		SchemaOnly []string `yaml:"schema_only"`
	}
	var written struct {
		Services map[string]any    `yaml:"services,omitempty"`
		Mounts   map[string]string `yaml:"mounts,omitempty"`
		Exclude  []string          `yaml:"exclude,omitempty,flow"`
		Timezone string            `yaml:"timezone,omitempty"`
		Parent   string            `yaml:"parent,omitempty"`
	}
	written.Services, written.Mounts = map[string]any{}, map[string]string{}
	written.Exclude, written.Timezone, written.Parent = d.Exclude, d.Timezone, d.Parent
	for _, s := range d.Services {
		written.Services[s.Name] = s.URL
		if len(s.SchemaOnly) > 0 {
			written.Services[s.Name] = service{s.URL, s.SchemaOnly}
		}
	}
	for _, m := range d.Mounts {
		written.Mounts[m.Name] = m.Path
	}
	var text strings.Builder
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	err := encoder.Encode(written)
	return text.String(), errors.Join(err, encoder.Close())
}
