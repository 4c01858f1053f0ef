// Package onnx reads and writes models in the ONNX format.
//
// The reader takes every operator set from 7 on, and the older forms that converters of
// their time wrote, and turns them into the one canonical operator set of package graph
// (upgrade.go). Model-local functions are inlined and constants become constant values,
// so what comes out holds operators of package op only.
//
// Nothing in a file is trusted: counts and sizes are checked against what the file
// really holds before memory is asked for, nesting and inlining are bounded, and external
// data cannot leave the model's folder. Tensor data is not copied: it stays in the
// mapped file, which remains mapped for the life of the process.
package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/mapfile"
	"github.com/edgewise-ml/edgewise/internal/op"
)

// ReadOptions changes how a model is read. The zero value is the normal way.
type ReadOptions struct {
	// KeepUnknown keeps operators that are not known as they are in the file, for
	// looking at a model that cannot be run. Without it they are refused.
	KeepUnknown bool
}

// UnsupportedError names every operator of a model that is not known, all at once.
type UnsupportedError struct {
	File string // "" when the model was not read from a file
	Ops  []UnsupportedOp
}

// UnsupportedOp is one unknown operator.
type UnsupportedOp struct {
	op.Key
	Version int64 // of the domain, as the file imports it
	Count   int   // how many nodes apply it
	Node    string
}

func (e *UnsupportedError) Error() string {
	var b strings.Builder
	if e.File != "" {
		fmt.Fprintf(&b, "%s: ", e.File)
	}
	b.WriteString("unsupported operators: ")
	for i, o := range e.Ops {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%v (%d×", o.Key, o.Count)
		if o.Version > 0 {
			fmt.Fprintf(&b, ", version %d", o.Version)
		}
		if o.Node != "" {
			fmt.Fprintf(&b, ", first at %s", o.Node)
		}
		b.WriteString(")")
	}
	return b.String()
}

// Sniff reports whether the first bytes of a file look like an ONNX model: the
// ir_version field first, as every known writer puts it.
func Sniff(head []byte) bool {
	return len(head) > 2 && head[0] == 0x08 && head[1] > 0 && head[1] < 0x40 && slices.Contains([]byte{0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42}, head[2])
}

// SniffOwn reports whether a file that starts with head was written by this package in the
// name of Edgewise, which puts the producer right after ir_version.
func SniffOwn(head []byte) bool {
	const mark = "\x12\x08" + defaultProducer
	return Sniff(head) && bytes.HasPrefix(head[2:], []byte(mark))
}

// Read reads the model at path, with its external data if it has any.
func Read(path string, o ReadOptions) (*graph.Graph, error) {
	data, err := mapfile.Read(path)
	if err != nil {
		return nil, err
	}
	return decode(data, filepath.Dir(path), path, o)
}

// Decode reads a model from memory, which the graph goes on to use. External data is
// looked for in dir; with an empty dir it is refused.
func Decode(data []byte, dir string) (*graph.Graph, error) {
	return decode(data, dir, "", ReadOptions{})
}

func decode(data []byte, dir, file string, o ReadOptions) (*graph.Graph, error) {
	var s scanner
	m, err := s.model(data)
	if err == nil {
		ext := &externalData{dir: dir}
		defer ext.close()
		im := &importer{model: m, ext: ext, opts: o, limit: minNodes + len(data)/bytesPerNode, facts: op.NewFacts()}
		var g *graph.Graph
		if g, err = im.run(); err == nil {
			return g, nil
		}
	}
	var u *UnsupportedError
	if errors.As(err, &u) {
		u.File = file
		return nil, u
	}
	if file != "" {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return nil, fmt.Errorf("onnx: %w", err)
}
