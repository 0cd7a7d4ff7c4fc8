package solr

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/engines"
)

// status is how things are with cores of the server.
type status struct {
	Status map[string]coreStatus `json:"status"`
	// Failed are cores that are there and could not be loaded, with the reason.
	Failed map[string]any `json:"initFailures"`
}

type coreStatus struct {
	Name        string `json:"name"`        // "" where there is no such core
	InstanceDir string `json:"instanceDir"` // "" while it is loaded
	Index       struct {
		Documents int64 `json:"numDocs"`
		Bytes     int64 `json:"sizeInBytes"`
	} `json:"index"`
}

func (c coreStatus) loading() bool { return c.Name != "" && c.InstanceDir == "" }

const (
	// loadLimit bounds how long a server that has just begun is waited for.
	loadLimit = time.Minute
	loadPause = 100 * time.Millisecond
)

// coreStatus asks for one core, until it has been loaded: before, the server does
// not tell what it is. A list of all cores would lack those that are to be loaded
// yet, and they would be taken for missing. Name is "" where there is none.
func (p place) coreStatus(ctx context.Context, core string) (coreStatus, error) {
	for deadline := time.Now().Add(loadLimit); ; {
		s, err := p.statusOf(ctx, core)
		if err != nil {
			return coreStatus{}, err
		}
		if why, failed := s.Failed[core]; failed {
			return coreStatus{}, fmt.Errorf("%s could not load core %s (%v): it has to be repaired or removed first", p.at(), core, why)
		}
		if c := s.Status[core]; !c.loading() {
			return c, nil
		}
		if time.Now().After(deadline) {
			return coreStatus{}, fmt.Errorf("%s has been loading core %s for %v: try again once it has", p.at(), core, loadLimit)
		}
		select {
		case <-ctx.Done():
			return coreStatus{}, context.Cause(ctx)
		case <-time.After(loadPause):
		}
	}
}

// statusOf asks for one core once.
func (p place) statusOf(ctx context.Context, core string) (status, error) {
	ctx, cancel := engines.Answering(ctx, p.at(), p.answer)
	defer cancel()
	var s status
	err := p.ask(ctx, "look at core "+core, "/admin/cores", query("action", "STATUS", "core", core), &s)
	return s, err
}

// coresOf lists the cores whose names begin with prefix.
func (p place) coresOf(ctx context.Context, prefix string) ([]string, error) {
	var s status
	if err := p.ask(ctx, "list its cores", "/admin/cores", query("action", "STATUS", "indexInfo", "false"), &s); err != nil {
		return nil, err
	}
	var names []string
	for name := range s.Status {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
