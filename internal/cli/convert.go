package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/rewrite"
)

type convertFlags struct {
	out      string
	opset    int
	simplify bool
	external bool
	force    bool
}

// convertReport is what convert --json writes.
type convertReport struct {
	Model string `json:"model"`
	File  string `json:"file"`
	Opset int64  `json:"opset"`
	Nodes int    `json:"nodes"`
	Size  int64  `json:"size_bytes"`
	Edits int    `json:"edits"` // changes by --simplify
}

func (a *app) convert() *cobra.Command {
	f := convertFlags{}
	cmd := &cobra.Command{
		Use:   "convert MODEL -o FILE.onnx",
		Short: "Write a model as ONNX, or with another operator set",
		Long: `Reads a model of any supported format and writes it as ONNX. Without --opset the
file has the oldest operator set that can express it, so that as many runtimes as
possible load it. --simplify also folds constants and batch normalizations and removes
what does nothing.`,
		Example: `  edgewise convert model.tflite -o model.onnx
  edgewise convert model.onnx --opset 17 -o model17.onnx`,
		Args: arguments(1, 1, "one model"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runConvert(cmd.Context(), args[0], f) },
	}
	a.jsonFlag(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.out, "output", "o", "", "`file` to write; model.onnx for model.tflite by default")
	fl.IntVar(&f.opset, "opset", 0, fmt.Sprintf("operator set to write, %d to %d", onnx.MinOpset, graph.Opset))
	fl.BoolVar(&f.simplify, "simplify", false, "make the graph smaller without changing what it computes")
	fl.BoolVar(&f.external, "external-data", false, "put the weights into a file beside the model")
	fl.BoolVar(&f.force, "force", false, "write over an existing file that Edgewise did not write, or that -o does not name")
	return cmd
}

func (a *app) runConvert(ctx context.Context, path string, f convertFlags) error {
	if f.opset != 0 && (f.opset < onnx.MinOpset || f.opset > graph.Opset) {
		return usagef("--opset %d: operator sets %d to %d can be written", f.opset, onnx.MinOpset, graph.Opset)
	}
	out := f.out
	if out == "" {
		base := strings.TrimPrefix(path, edgewise.ZooPrefix)
		out = strings.TrimSuffix(base, filepath.Ext(base)) + ".onnx"
		if fileExists(out) && !f.force {
			return hinted(usagef("%s exists", out), "name the file to write with -o, or pass --force")
		}
	}
	if err := modelOutput(out, path); err != nil {
		return err
	}
	if !f.force {
		if err := replaceable(out, onnx.SniffOwn, "was not written by Edgewise"); err != nil {
			return err
		}
	}
	m, err := edgewise.Open(path)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	g := m.Graph()
	r := convertReport{Model: path, File: out}
	if f.simplify {
		g = g.Clone()
		stats, err := rewrite.Simplify(g, rewrite.Options{})
		if err != nil {
			return err
		}
		r.Edits = stats.Total()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := onnx.Write(out, g, onnx.Options{Opset: f.opset, ExternalData: f.external}); err != nil {
		return err
	}
	r.Nodes, r.Opset = len(g.Nodes), int64(f.opset)
	if f.opset == 0 {
		r.Opset = onnx.LeastOpset(g)
	}
	if info, err := os.Stat(out); err == nil {
		r.Size = info.Size()
	}
	if a.json {
		return a.writeJSON(r)
	}
	fmt.Fprintf(a.out, "%s: %s, operator set %d, %s\n", r.File, counted(r.Nodes, "node"), r.Opset, bytesText(r.Size))
	return nil
}

// same reports whether two paths are one file.
func same(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errors.Join(errA, errB) == nil && os.SameFile(x, y)
}
