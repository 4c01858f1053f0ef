package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
)

// versionReport is what version --json writes.
type versionReport struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source, with + where it was changed
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	Tier     string `json:"tier"`
	Opset    int    `json:"opset"` // newest ONNX operator set that is known
}

func (a *app) version() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version of this program",
		Args:  arguments(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			r := versionReport{Version: version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Tier: cpu.Best().String(), Opset: graph.Opset}
			if info, ok := debug.ReadBuildInfo(); ok {
				changed := ""
				for _, s := range info.Settings {
					switch s.Key {
					case "vcs.revision":
						r.Revision = s.Value
					case "vcs.modified":
						if s.Value == "true" {
							changed = "+"
						}
					}
				}
				if r.Revision != "" {
					r.Revision += changed
				}
			}
			if a.json {
				return a.writeJSON(r)
			}
			fmt.Fprintf(a.out, "edgewise %s (%s %s/%s, %s, ONNX operator set %d)\n", r.Version, r.Go, r.OS, r.Arch, r.Tier, r.Opset)
			return nil
		},
	}
	a.jsonFlag(cmd)
	return cmd
}
