// Command summary reads `go test -json` from stdin and prints what `go test`
// would: a line for each package and the output of what failed, build errors
// included. With -counts FILE it appends a line "passed failed skipped" there.
// It exits 1 when anything failed.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
)

// event is one line of test2json's output.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build events
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

func main() {
	counts := flag.String("counts", "", "file to append the counts to")
	flag.Parse()

	passed, failed, skipped, events := 0, 0, 0, 0
	output := map[string]string{} // by package and test
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			fmt.Println(in.Text()) // go's own message, not an event
			continue
		}
		events++
		key := e.Package + " " + e.Test
		switch e.Action {
		case "build-output":
			fmt.Print(e.Output)
		case "output":
			output[key] += e.Output
		case "pass", "fail", "skip":
			if e.Test == "" {
				if e.Action == "pass" {
					fmt.Printf("ok  \t%s\t%.3fs\n", e.Package, e.Elapsed)
				} else {
					fmt.Print(output[key]) // of a skipped package, "no test files"
				}
				if e.Action == "fail" && (e.FailedBuild != "" || !hasFailures(output, e.Package)) {
					failed++ // no test of it says so
				}
			} else {
				switch e.Action {
				case "pass":
					passed++
					delete(output, key)
				case "skip":
					skipped++
					fmt.Printf("--- SKIP: %s %s%s\n", e.Package, e.Test, reason(output[key]))
					delete(output, key)
				case "fail":
					failed++
					fmt.Print(output[key])
					output[key] = "" // its key stays, for hasFailures
				}
			}
		}
	}
	if err := in.Err(); err != nil {
		fmt.Println("summary:", err)
		failed++
	}
	if events == 0 {
		fmt.Println("summary: no test events")
		failed++
	}
	// A test without an end was running when its process died.
	for key, text := range output {
		if pkg, test, _ := strings.Cut(key, " "); test != "" && text != "" {
			fmt.Printf("--- UNFINISHED: %s %s\n%s", pkg, test, text)
			failed++
		}
	}
	if *counts != "" {
		f, err := os.OpenFile(*counts, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = fmt.Fprintln(f, passed, failed, skipped)
			f.Close()
		}
		if err != nil {
			fmt.Println("summary:", err)
			failed++
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 {
		os.Exit(1)
	}
}

// hasFailures reports whether a test of the package has failed or never ended.
func hasFailures(output map[string]string, pkg string) bool {
	for key := range output {
		if test, ok := strings.CutPrefix(key, pkg+" "); ok && test != "" {
			return true
		}
	}
	return false
}

// reason is the message of a skipped test, the line before its "--- SKIP".
func reason(output string) string {
	for line := range strings.Lines(output) {
		if _, text, ok := strings.Cut(strings.TrimSpace(line), ".go:"); ok {
			return ": " + text
		}
	}
	return ""
}
