package train

import (
	"path"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/zoo"
)

// Every network of the zoo has gradients throughout: all that its layers multiply and add
// is trained, but for what it says is fixed.
func TestEveryNetworkOfTheZooTrains(t *testing.T) {
	for _, n := range zoo.Networks() {
		o := zoo.TrainingOptions{Seed: 1, Classes: 5}
		loss := Loss{Kind: CrossEntropy}
		if len(n.Input) == 4 && n.Input[1] == 3 {
			o.Resolution = 32
		}
		if n.Name == "autoencoder" {
			loss.Kind = MSE
		}
		g, err := zoo.BuildTraining(n.Name, o)
		if err != nil {
			t.Fatal(err)
		}
		if n.Name == "encoder" || n.Name == "shufflenetv2" {
			sameForEachSample(t, g) // their shapes hold the batch in several places
		}
		p, err := NewProgram(g, Spec{Batch: 2, Loss: loss, Optimizer: Optimizer{Kind: "sgd", Rate: 0.1, Momentum: 0.9}})
		if err != nil {
			t.Errorf("%s: %v", n.Name, err)
			continue
		}
		state := map[string]StateKind{}
		for _, s := range p.States {
			state[s.Name] = s.Kind
		}
		for _, c := range g.Constants() {
			if ok, _ := path.Match(g.Meta[graph.MetaFixed], c.Name); ok {
				continue // a front end made of constants
			}
			if !c.Type.DType.IsFloat() || c.Const.Len() == 1 {
				continue
			}
			want := Parameter
			if strings.HasSuffix(c.Name, ".mean") || strings.HasSuffix(c.Name, ".var") {
				want = Statistic
			}
			if kind, ok := state[c.Name]; !ok || kind != want {
				t.Errorf("%s: %s is not trained", n.Name, c.Name)
			}
		}
	}
}
