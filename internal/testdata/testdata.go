// Package testdata finds the real models and data that tests and benchmarks use
// and that the repository does not hold.
package testdata

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Dir returns the data folder: EDGEWISE_TESTDATA where set, else shared/data in
// the working directory or a folder above it. Without one the test is skipped,
// or failed by the rule of Missing.
func Dir(t testing.TB) string {
	t.Helper()
	dir := find()
	if dir == "" {
		Missing(t, "no test data (set EDGEWISE_TESTDATA, or put shared/data beside the checkout)")
	}
	return dir
}

// Path returns the path of a file or folder below Dir. The test is skipped, or
// failed by the rule of Missing, where it does not exist.
func Path(t testing.TB, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{Dir(t)}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		Missing(t, "test data: "+err.Error())
	}
	return path
}

// Missing ends a test that lacks something from outside the repository: a skip,
// unless EDGEWISE_REQUIRE_WITNESSES=1 makes it a failure, as CI does.
func Missing(t testing.TB, what string) {
	t.Helper()
	if Required() {
		t.Fatalf("%s; EDGEWISE_REQUIRE_WITNESSES=1 forbids skipping", what)
	}
	t.Skip(what)
}

// Required reports whether tests must not skip for want of data or witnesses.
func Required() bool { return os.Getenv("EDGEWISE_REQUIRE_WITNESSES") == "1" }

// find returns the data folder or "". The README marks it, so that an unrelated
// folder of that name is not taken.
var find = sync.OnceValue(locate)

func locate() string {
	has := func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, "README.md"))
		return err == nil
	}
	if dir, ok := os.LookupEnv("EDGEWISE_TESTDATA"); ok {
		if abs, err := filepath.Abs(dir); err == nil && has(abs) {
			return abs
		}
		return ""
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if data := filepath.Join(dir, "shared", "data"); has(data) {
			return data
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}
