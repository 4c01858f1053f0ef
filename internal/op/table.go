package op

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// table holds every operator. It is filled by the first look-up: a program that starts
// often, or runs no model, should not pay for it.
var (
	table     map[Key]*Def
	tableOnce sync.Once
)

// definitions returns the table. It is no initialized variable because evaluations look
// up definitions themselves.
func definitions() map[Key]*Def {
	tableOnce.Do(func() { table = buildTable(families()...) })
	return table
}

func families() [][]Def {
	return [][]Def{
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
		backwardOps(),
		optimizerOps(),
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
	}
}

func buildTable(families ...[]Def) map[Key]*Def {
	n := 0
	for _, family := range families {
		n += len(family)
	}
	t := make(map[Key]*Def, n)
	parsed := make([]sync.Once, n)
	for _, family := range families {
		for i := range family {
			d := &family[i]
			k := Key{d.Domain, d.Name}
			if t[k] != nil {
				panic(fmt.Sprintf("op: %v is defined twice", k))
			}
			d.once = &parsed[len(t)]
			t[k] = d
		}
	}
	return t
}

// All returns every definition, sorted by domain and name.
func All() []*Def {
	return slices.SortedFunc(maps.Values(definitions()), func(a, b *Def) int {
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
