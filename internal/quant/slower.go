package quant

import (
	"slices"
	"strings"
	"time"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
)

// NodeTime compares the time of nodes in two programs of the same network. A program
// fuses nodes into steps, and two programs do so differently: Nodes are the fewest that
// stand alone in both.
type NodeTime struct {
	Nodes   []string // names in the float graph, in order
	Float   time.Duration
	Integer time.Duration
}

// Lost returns the time that floating point costs: negative where it is faster.
func (t NodeTime) Lost() time.Duration { return t.Float - t.Integer }

// CompareTimes matches the steps of a float program and of a quantized one by the nodes
// of the float graph g that they compute. Both profiles must be of whole runs, such as
// minima over several; conversions between float and integers belong to no node and are
// returned as border.
func CompareTimes(g *graph.Graph, float, integer *engine.Plan, floatTimes, integerTimes []engine.StepTime) (times []NodeTime, border time.Duration) {
	index := map[string]int{}
	for i, n := range g.Nodes {
		index[n.Label()] = i
	}
	parent := make([]int, len(g.Nodes))
	for i := range parent {
		parent[i] = i
	}
	var find func(i int) int
	find = func(i int) int {
		if parent[i] != i {
			parent[i] = find(parent[i])
		}
		return parent[i]
	}
	type timed struct {
		node int
		d    time.Duration
	}
	attribute := func(p *engine.Plan, steps []engine.StepTime) (out []timed, rest time.Duration) {
		chain := chains(p.Graph(), steps)
		for _, s := range steps {
			first := -1
			for _, name := range chain(s.Name, s.Op) {
				i, ok := index[name]
				if !ok {
					continue
				}
				if first < 0 {
					first = i
				}
				parent[find(i)] = find(first)
			}
			if first < 0 {
				rest += s.Duration
				continue
			}
			out = append(out, timed{first, s.Duration})
		}
		return out, rest
	}
	fs, _ := attribute(float, floatTimes)
	is, border := attribute(integer, integerTimes)
	groups := map[int]*NodeTime{}
	var order []*NodeTime
	for i, n := range g.Nodes {
		r := find(i)
		if groups[r] == nil {
			groups[r] = &NodeTime{}
			order = append(order, groups[r])
		}
		groups[r].Nodes = append(groups[r].Nodes, n.Label())
	}
	for _, t := range fs {
		groups[find(t.node)].Float += t.d
	}
	for _, t := range is {
		groups[find(t.node)].Integer += t.d
	}
	for _, t := range order {
		if t.Float > 0 || t.Integer > 0 {
			times = append(times, *t)
		}
	}
	return times, border
}

// chains returns a function from a step to the names of the nodes it computes. A step
// bears the name of its last node and the operators of all; the way leads upwards from
// there, past nodes that have steps of their own.
func chains(g *graph.Graph, steps []engine.StepTime) func(step, ops string) []string {
	byName := map[string]*graph.Node{}
	for _, n := range g.Nodes {
		byName[n.Label()] = n
	}
	own := map[string]bool{}
	for _, s := range steps {
		own[s.Name] = true
	}
	return func(step, ops string) []string {
		n := byName[step]
		if n == nil {
			return nil
		}
		parts := strings.Split(ops, "+")
		if parts[len(parts)-1] != n.Op {
			return nil
		}
		names := []string{n.Label()}
		for i := len(parts) - 2; i >= 0 && n != nil; i-- {
			var up *graph.Node
			for _, v := range n.Inputs {
				if v != nil && v.Def != nil && v.Def.Op == parts[i] && !own[v.Def.Label()] {
					up = v.Def
					break
				}
			}
			if up != nil {
				names = append(names, up.Label())
			}
			n = up
		}
		slices.Reverse(names)
		return names
	}
}

// Slower returns the quantized layers of r that floating point computes faster, by more
// than the given share of the integer time (0.05 allows for noise) and by more than the
// two conversions that keeping a layer in float adds, each of which takes convert. The
// values are reasons for Config.Keep.
func Slower(r *Result, times []NodeTime, share float64, convert time.Duration) map[string]string {
	layer := map[string]bool{}
	for _, y := range r.Layers {
		if y.Quantized && y.Weights != nil {
			layer[y.Node] = true
		}
	}
	keep := map[string]string{}
	for _, t := range times {
		gain := -t.Lost()
		if float64(gain) <= share*float64(t.Integer) || gain <= 2*convert {
			continue
		}
		for _, name := range t.Nodes {
			if layer[name] {
				keep[name] = "measured slower as int8: " + t.Integer.String() + " against " + t.Float.String()
			}
		}
	}
	return keep
}
