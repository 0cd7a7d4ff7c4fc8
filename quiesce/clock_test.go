package quiesce

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wallClock are the ways to a time of day: what is computed of it changes when
// somebody sets the clock. time.Now, Since, Until and timers count monotonically as
// long as none of these comes in between.
var wallClock = map[string]bool{
	"Unix": true, "UnixNano": true, "UnixMilli": true, "UnixMicro": true, "Truncate": true, "UTC": true, "Local": true, "In": true,
	"AddDate": true, "Date": true, "Clock": true, "Parse": true, "ParseInLocation": true, "Format": true, "MarshalJSON": true,
}

// A clock that is set must not end a hold, nor prolong it. No test can set the
// machine's clock, so this one sees to it that nothing asks for the time of day: all
// times are differences of readings with a monotonic part, and none is written down.
func TestTheTimeOfDayIsNotAskedFor(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	readings := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				pkg, _ := n.X.(*ast.Ident)
				if pkg != nil && pkg.Name == "time" && n.Sel.Name == "Now" {
					readings++
				}
				// url.Parse and the like are other packages'.
				if wallClock[n.Sel.Name] && (pkg == nil || pkg.Name == "time") {
					t.Errorf("%s: %s is of the time of day", set.Position(n.Pos()), n.Sel.Name)
				}
			case *ast.Field: // a time that is written down loses its monotonic part
				kind, _ := n.Type.(*ast.SelectorExpr)
				if kind != nil && kind.Sel.Name == "Time" && n.Tag != nil {
					t.Errorf("%s: a time is written down", set.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if readings == 0 {
		t.Error("nobody asks for any time: the test looks in the wrong place")
	}
}
