package environment

import _ "embed"

//go:embed example.yaml
var example string

// Example returns a holdfast.yaml with comments, to begin with.
func Example() string { return example }
