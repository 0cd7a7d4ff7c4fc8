package snapshot

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"holdfast/engines"
	"holdfast/internal/environment"
)

// Part is a service or mount of an environment with the engine that knows it.
type Part struct {
	engines.Service
	Engine engines.Engine
	Mount  bool
}

// Parts finds the engine of every service and mount. avoid lists paths that no
// engine may open; live is given on to the engines.
func Parts(e environment.Environment, known []engines.Engine, avoid []string, live bool) ([]Part, error) {
	var parts []Part
	add := func(s engines.Service, mount bool) error {
		engine, err := engineFor(known, s.URL.Scheme)
		if err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
		if len(s.SchemaOnly) > 0 && !engine.Tables {
			return fmt.Errorf("service %s: schema_only is for databases with tables; %s: has none that could be left out", s.Name, s.URL.Scheme)
		}
		s.Avoid, s.Live = avoid, live
		parts = append(parts, Part{s, engine, mount})
		return nil
	}
	for _, s := range e.Services {
		service := engines.Service{Name: s.Name, URL: s.URL, Password: string(s.Password), SchemaOnly: s.TablePatterns(), Accounts: s.Accounts}
		if err := add(service, false); err != nil {
			return nil, err
		}
	}
	for _, m := range e.Mounts {
		location := &url.URL{Scheme: "file", Path: m.Path}
		if err := add(engines.Service{Name: m.Name, URL: location, Exclude: e.Exclude}, true); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

func engineFor(known []engines.Engine, scheme string) (engines.Engine, error) {
	var schemes []string
	for _, e := range known {
		if slices.Contains(e.Schemes, scheme) {
			return e, nil
		}
		schemes = append(schemes, e.Schemes...)
	}
	slices.Sort(schemes)
	return engines.Engine{}, fmt.Errorf("no engine for %q; there are %s", scheme+":", strings.Join(schemes, ", "))
}

// Only keeps the parts of these names, all of them if names is empty.
func Only(parts []Part, names []string) ([]Part, error) {
	if len(names) == 0 {
		return parts, nil
	}
	var kept []Part
	for _, name := range names {
		i := slices.IndexFunc(parts, func(p Part) bool { return p.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no service or mount %q; there are %s", name, strings.Join(partNames(parts), ", "))
		}
		if !slices.ContainsFunc(kept, func(p Part) bool { return p.Name == name }) {
			kept = append(kept, parts[i])
		}
	}
	return kept, nil
}

func partNames(parts []Part) []string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.Name
	}
	return names
}
