package environment

import (
	"net/url"
	"slices"

	"go.yaml.in/yaml/v3"
)

// accountSchemes are the kinds of services whose servers have users or roles that a
// snapshot can hold.
var accountSchemes = []string{"mariadb", "mysql", "postgres", "postgresql"}

// accounts returns whether the users or roles of a server belong to a service.
func (d *document) accounts(f field, u *url.URL) bool {
	n := d.resolve(f)
	if n == nil {
		return false
	}
	var wanted bool
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(&wanted) != nil {
		d.problem(f, "is %s; expected true or false", kindOf(n))
		return false
	}
	if wanted && !slices.Contains(accountSchemes, u.Scheme) {
		var kinds []string
		for _, scheme := range accountSchemes {
			kinds = append(kinds, scheme+":")
		}
		d.problem(f, "is for databases of servers that have users or roles; expected it with %s", alternatives(kinds))
		return false
	}
	return wanted
}
