package op

import (
	"errors"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

var errNoOptionalType = errors.New("an Optional without input needs the attribute type")

func inferOptional(c *Infer) error {
	if c.Has(0) {
		c.Set(0, graph.OptionalOf(c.Type(0)))
		return nil
	}
	t, ok := c.Attrs()["type"].(graph.Type)
	if !ok {
		return errNoOptionalType
	}
	c.Set(0, graph.OptionalOf(t))
	return nil
}

func evalOptional(e *Eval) error {
	switch _, typed := e.Attrs()["type"].(graph.Type); {
	case e.Has(0):
		e.Set(0, Optional{e.In[0]})
	case typed:
		e.Set(0, Optional{})
	default:
		return errNoOptionalType
	}
	return nil
}

func evalOptionalGetElement(e *Eval) error {
	v := e.In[0]
	if o, ok := v.(Optional); ok {
		v = o.Value
	}
	if v == nil {
		return errors.New("the optional input holds nothing")
	}
	e.Set(0, v)
	return nil
}

func evalOptionalHasElement(e *Eval) error {
	has := e.Has(0)
	if has {
		if o, ok := e.In[0].(Optional); ok {
			has = o.Value != nil
		}
	}
	tensor.Data[bool](e.Result(0, tensor.Bool))[0] = has
	return nil
}
