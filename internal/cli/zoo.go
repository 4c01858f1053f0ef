package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/zoo"
)

// zooReport is an element of what zoo --json writes.
type zooReport struct {
	Name       string `json:"name"` // as given where a model is asked for
	Input      []int  `json:"input"`
	Parameters int    `json:"parameters"`
	MACs       int64  `json:"macs"`
	Source     string `json:"source"`
}

func (a *app) zoo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "zoo",
		Short: "List the built-in networks",
		Long: `Lists the networks that zoo:NAME stands for wherever a MODEL is asked for. The
heartbeat classifier is trained; the others have the true shapes of the literature and
random weights, for measuring speed and memory. Where a network is trained from scratch,
each is built in another form: batch normalizations as nodes, fresh weights from the
recipe's seed, the recipe's classes and resolution, and for images up to 64×64 without
the first halvings.

MobileNets and ShuffleNet take a width multiplier and a resolution after the name, other
networks for images a resolution: zoo:mobilenetv2-0.35, zoo:mobilenetv2-1.0-192,
zoo:resnet50-160. Parameters are those with batch normalizations folded.`,
		Example: `  edgewise zoo
  edgewise bench zoo:efficientnet-b0
  edgewise convert zoo:resnet50 -o resnet50.onnx`,
		Args: arguments(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			var list []zooReport
			t := &table{head: []string{"name", "input", "parameters", "MACs", "source"}}
			for _, n := range zoo.Networks() {
				r := zooReport{edgewise.ZooPrefix + n.Name, n.Input, n.Parameters, n.MACs, n.Source}
				list = append(list, r)
				t.add(r.Name, strings.Trim(strings.ReplaceAll(fmt.Sprint(r.Input), " ", "×"), "[]"),
					countText(int64(r.Parameters)), countText(r.MACs), r.Source)
			}
			if a.json {
				return a.writeJSON(list)
			}
			t.write(a.out)
			return nil
		},
	}
	a.jsonFlag(cmd)
	return cmd
}
