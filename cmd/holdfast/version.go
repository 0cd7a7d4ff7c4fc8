package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version is set by the linker (Makefile); without it the build information tells.
var version string

// programVersion says which version this is.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// programName is what snapshots and repositories say of who wrote them.
func programName() string { return "holdfast " + programVersion() }

// printVersion is the action of "version".
func printVersion(_ context.Context, app *env, _ VersionOptions) error {
	doc := struct {
		Version  string `json:"version"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{programVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	return app.result(doc, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "holdfast %s, %s, %s\n", doc.Version, doc.Go, doc.Platform)
		return err
	})
}
