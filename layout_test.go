package edgewise_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// floors is the plan of the house: a package imports only packages on lower floors.
var floors = map[string]int{
	"tensor":              0,
	"internal/atomicfile": 0,
	"internal/cpu":        0,
	"internal/ecg":        0,
	"internal/mapfile":    0,
	"internal/page":       0,
	"internal/picture":    0,
	"internal/spelling":   0,
	"internal/testdata":   0,
	"internal/graph":      1,
	"internal/strictyaml": 1,
	"internal/kernel":     1,
	"internal/op":         2,
	"internal/interp":     3,
	"internal/onnx":       3,
	"internal/tflite":     3,
	"internal/rewrite":    3,
	"internal/autodiff":   3,
	"internal/engine":     4,
	"internal/zoo":        4,
	"":                    5,
	"internal/quant":      5,
	"internal/dataset":    5,
	"internal/train":      5,
	"internal/optimize":   6,
	"internal/recipe":     7,
	"internal/cli":        9,
	"cmd/edgewise":        9,
	"test/distill":        9,
	"test/heartbeat/gen":  9,
	"test/training":       9,
}

// sideways are imports between packages of one floor, each for a reason.
var sideways = map[[2]string]string{
	{"cmd/edgewise", "internal/cli"}: "main is ten lines",
}

// forTests serve tests only: no shipped package imports them.
var forTests = []string{"internal/testdata", "internal/witness", "internal/conformance"}

// listed is a package as go list sees it.
type listed struct {
	path, doc string
	imports   []string
}

func listPackages(t *testing.T) (module string, out []listed) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command")
	}
	list := func(args ...string) string {
		b, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
		if err != nil {
			t.Fatalf("go list %v: %v", args, err)
		}
		return strings.TrimSpace(string(b))
	}
	module = list("-m")
	for line := range strings.Lines(list("-f", "{{.ImportPath}}\t{{.Doc}}\t{{join .Imports \" \"}}", "./...", "./internal/testdata")) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 {
			t.Fatalf("go list wrote %q", line)
		}
		out = append(out, listed{path: f[0], doc: f[1], imports: strings.Fields(f[2])})
	}
	return module, out
}

func TestFloors(t *testing.T) {
	module, packages := listPackages(t)
	local := func(path string) (string, bool) {
		rest, ok := strings.CutPrefix(path, module)
		return strings.TrimPrefix(rest, "/"), ok && (rest == "" || rest[0] == '/')
	}
	seen := map[string]bool{}
	for _, p := range packages {
		name, _ := local(p.path)
		seen[name] = true
		if p.doc == "" {
			t.Errorf("%s has no package comment", p.path)
		}
		tests := slices.Contains(forTests, name)
		floor, known := floors[name]
		if !known && !tests {
			t.Errorf("%s has no floor: give it one in layout_test.go and docs/architecture.md", p.path)
			continue
		}
		for _, imp := range p.imports {
			dep, ok := local(imp)
			if !ok {
				continue
			}
			switch below, known := floors[dep]; {
			case slices.Contains(forTests, dep) && !tests:
				t.Errorf("%s imports %s, which is for tests", p.path, imp)
			case tests:
			case known && below >= floor && sideways[[2]string{name, dep}] == "":
				t.Errorf("%s (floor %d) imports %s (floor %d)", p.path, floor, imp, below)
			}
		}
	}
	for name := range floors {
		if !seen[name] {
			t.Errorf("the plan names %q, which is not there", name)
		}
	}
}

// TestForeignImports keeps tools of tests out of what ships.
func TestForeignImports(t *testing.T) {
	_, packages := listPackages(t)
	for _, p := range packages {
		for _, imp := range p.imports {
			switch {
			case strings.HasSuffix(p.path, "/conformance"), strings.HasSuffix(p.path, "/witness"), strings.HasSuffix(p.path, "/testdata"):
			case imp == "testing", strings.HasPrefix(imp, "pgregory.net/rapid"), strings.HasPrefix(imp, "github.com/google/go-cmp"),
				strings.HasPrefix(imp, "go.uber.org/goleak"), strings.HasPrefix(imp, "github.com/rogpeppe/go-internal"):
				t.Errorf("%s imports %s outside its tests", p.path, imp)
			case imp == "C", imp == "net/http":
				t.Errorf("%s imports %s, which the program does without", p.path, imp)
			}
		}
	}
}
