package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// printVersion is the action of "version".
func printVersion(_ context.Context, app *env, _ VersionOptions) error {
	version, revision := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	doc := struct {
		Version  string `json:"version"`
		Revision string `json:"revision,omitempty"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{version, revision, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	return app.result(doc, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "holdfast %s, %s, %s\n", doc.Version, doc.Go, doc.Platform)
		return err
	})
}
