package graph

import (
	"errors"
	"fmt"
)

// Verify checks the invariants stated at the top of the package. It is cheap enough to
// run after every pass, and does.
func (g *Graph) Verify() error {
	v := verifier{
		graph: g.Root(),
		ids:   make([]*Value, g.NumIDs()),
		names: map[string]*Value{},
		owned: map[*Value]bool{},
	}
	if g.Outer != nil {
		return errors.New("verify: not the outermost graph")
	}
	return v.check(g)
}

type verifier struct {
	graph *Graph
	ids   []*Value
	names map[string]*Value
	owned map[*Value]bool // defined so far, in this graph or one around it
}

func (c *verifier) value(v *Value) error {
	switch {
	case v.Name == "":
		return fmt.Errorf("value %d has no name", v.ID)
	case v.ID < 0 || v.ID >= len(c.ids):
		return fmt.Errorf("value %s has ID %d outside 0..%d", v.Name, v.ID, len(c.ids)-1)
	case c.ids[v.ID] != nil && c.ids[v.ID] != v:
		return fmt.Errorf("values %s and %s share ID %d", v.Name, c.ids[v.ID].Name, v.ID)
	case c.names[v.Name] != nil && c.names[v.Name] != v:
		return fmt.Errorf("two values are named %s", v.Name)
	case v.Const != nil && v.Def != nil:
		return fmt.Errorf("value %s is a constant and has a defining node", v.Name)
	case v.Const != nil && !TypeOf(v.Const).Equal(v.Type):
		return fmt.Errorf("constant %v holds a %v", v, v.Const)
	}
	c.ids[v.ID] = v
	c.names[v.Name] = v
	return nil
}

func (c *verifier) define(v *Value, by *Node) error {
	if v == nil {
		return nil
	}
	if err := c.value(v); err != nil {
		return err
	}
	switch {
	case c.owned[v]:
		return fmt.Errorf("value %s is defined twice", v.Name)
	case v.Const != nil:
		return fmt.Errorf("constant %s is listed as an input or output", v.Name)
	case v.Def != by:
		return fmt.Errorf("value %s does not name its defining node", v.Name)
	}
	c.owned[v] = true
	return nil
}

func (c *verifier) use(v *Value) error {
	if v == nil {
		return nil
	}
	if err := c.value(v); err != nil {
		return err
	}
	if v.Const == nil && !c.owned[v] {
		return fmt.Errorf("value %s is used before it is defined", v.Name)
	}
	return nil
}

func (c *verifier) check(g *Graph) error {
	for _, v := range g.Inputs {
		if v == nil {
			return errors.New("a graph input is nil")
		}
		if err := c.define(v, nil); err != nil {
			return fmt.Errorf("graph %q: input: %w", g.Name, err)
		}
	}
	for i, n := range g.Nodes {
		if n.Op == "" {
			return fmt.Errorf("node %d has no operator", i)
		}
		for _, v := range n.Inputs {
			if err := c.use(v); err != nil {
				return fmt.Errorf("%v (node %d): %w", n, i, err)
			}
		}
		for _, b := range n.Bodies() {
			if b.Outer != g {
				return fmt.Errorf("%v (node %d): body %q does not name its enclosing graph", n, i, b.Name)
			}
			if err := c.check(b); err != nil {
				return fmt.Errorf("%v (node %d): %w", n, i, err)
			}
		}
		for _, v := range n.Outputs {
			if err := c.define(v, n); err != nil {
				return fmt.Errorf("%v (node %d): %w", n, i, err)
			}
		}
	}
	for _, v := range g.Outputs {
		if v == nil {
			return fmt.Errorf("graph %q: an output is nil", g.Name)
		}
		if err := c.use(v); err != nil {
			return fmt.Errorf("graph %q: output: %w", g.Name, err)
		}
	}
	return nil
}
