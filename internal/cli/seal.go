package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/engine"
)

// sealReport is what seal --json writes.
type sealReport struct {
	Model   string           `json:"model"`
	File    string           `json:"file"`
	Size    int64            `json:"size_bytes"`
	Tier    string           `json:"tier"` // instruction set level that the plan is for
	Inputs  map[string][]int `json:"inputs"`
	Version string           `json:"version"`
}

func (a *app) seal() *cobra.Command {
	var out string
	var force bool
	cmd := &cobra.Command{
		Use:   "seal MODEL [-o FILE.plan]",
		Short: "Compile a model into a file that starts at once",
		Long: `Compiles a model for this machine and writes the outcome, weights packed for its
kernels, as a plan that is taken wherever a model is. Starting from it spares
optimizing the graph and packing.

The plan is for this build of the program and this machine's instruction set level
(EDGEWISE_ISA lowers that). It also holds the model, so it is about twice as large:
another level or build says so and compiles that instead. It holds the network as it
was when sealed; what becomes of the model file later does not matter to it. Before the plan is
written it is run against the model; every bit of the outputs must agree.`,
		Example: `  edgewise seal model.onnx -o model.plan
  edgewise run model.plan cat.jpg`,
		Args: arguments(1, 1, "one model"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runSeal(cmd.Context(), args[0], out, force) },
	}
	a.modelFlags(cmd)
	_ = cmd.Flags().MarkHidden("isa") // refused with a hint
	a.tuningFlag(cmd)
	a.jsonFlag(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "`file` to write; model.plan for model.onnx by default")
	cmd.Flags().BoolVar(&force, "force", false, "write over an existing file that is no sealed plan")
	return cmd
}

func (a *app) runSeal(ctx context.Context, path, out string, force bool) error {
	opts, err := a.options()
	if err != nil {
		return err
	}
	if opts.ISA != "" && !strings.EqualFold(opts.ISA, cpu.Best().String()) {
		return hinted(usagef("a plan is sealed for what this machine runs best, not for --isa %s", opts.ISA), "EDGEWISE_ISA lowers that for sealing and for running")
	}
	if out == "" {
		base := strings.TrimPrefix(path, edgewise.ZooPrefix)
		if out = strings.TrimSuffix(base, filepath.Ext(base)) + ".plan"; fileExists(out) && !force {
			return hinted(usagef("%s exists", out), "name the file to write with -o, or pass --force")
		}
	}
	if err := modelOutput(out, path); err != nil {
		return err
	}
	if !force {
		if err := replaceable(out, engine.SniffSealed, "is no sealed plan"); err != nil {
			return err
		}
	}
	if b, err := head(path); err == nil && engine.SniffSealed(b) {
		return hinted(usagef("%s is a sealed plan already", path), "seal the model that it was made from")
	}
	m, err := edgewise.Open(path)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	given, err := a.shapeFlags(m)
	if err != nil {
		return err
	}
	shapes, err := a.boundShapes(m, given)
	if err != nil {
		return err
	}
	data, err := m.Seal(ctx, opts, shapes)
	if err != nil {
		return err
	}
	a.remark(m)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := writeFile(out, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
		return err
	}
	r := sealReport{Model: path, File: out, Size: int64(len(data)), Tier: cpu.Best().String(), Inputs: shapes, Version: version()}
	if a.json {
		return a.writeJSON(r)
	}
	fmt.Fprintf(a.out, "%s: %s for %s, with the model inside\n", r.File, bytesText(r.Size), r.Tier)
	return nil
}

// sealedAs says that a model is a sealed plan, of what and for what.
func (a *app) sealedAs(path string, m *edgewise.Model) {
	if l := m.Sealed(); l != "" {
		a.note("%s is a sealed plan of %s for %s", path, cmp.Or(m.Name(), "a network without a name"), l)
	}
}

// remark says why a sealed plan or a tuning is not used, if that is so.
func (a *app) remark(m *edgewise.Model) {
	if n := m.Note(); n != "" {
		a.note("%s", n)
	}
}
