package environment

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
