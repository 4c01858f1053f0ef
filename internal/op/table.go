package op

import (
	"fmt"
	"maps"
	"slices"
)

// table holds every operator. It is filled at start because evaluations look up
// definitions themselves.
var table map[Key]*Def

func init() {
	table = buildTable(
		logicalOps(),
		mathOps(),
		cumulativeOps(),
		activationOps(),
		softmaxOps(),
		reduceOps(),
		matmulOps(),
		einsumOps(),
		convOps(),
		deformOps(),
		poolOps(),
		regionOps(),
		normOps(),
		layerNormOps(),
		dropoutOps(),
		quantOps(),
		qlinearOps(),
		qelementwiseOps(),
		nbitsOps(),
		lossOps(),
		trainingOps(),
		shapeOps(),
		castOps(),
		constantOps(),
		moveOps(),
		padOps(),
		gatherOps(),
		sortOps(),
		resizeOps(),
		sampleOps(),
		sequenceOps(),
		controlOps(),
		textOps(),
		mlOps(),
		randomOps(),
		signalOps(),
		rnnOps(),
		attentionOps(),
		rotaryOps(),
		detectOps(),
		imageOps(),
	)
}

func buildTable(families ...[]Def) map[Key]*Def {
	t := map[Key]*Def{}
	for _, family := range families {
		for i := range family {
			d := &family[i]
			k := Key{d.Domain, d.Name}
			if t[k] != nil {
				panic(fmt.Sprintf("op: %v is defined twice", k))
			}
			d.parse()
			t[k] = d
		}
	}
	return t
}

// All returns every definition, sorted by domain and name.
func All() []*Def {
	return slices.SortedFunc(maps.Values(table), func(a, b *Def) int {
		if a.Domain != b.Domain {
			if a.Domain < b.Domain {
				return -1
			}
			return 1
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
}
