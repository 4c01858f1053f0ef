package tflite

import "github.com/edgewise-ml/edgewise/internal/graph"

func readMetadata(g *graph.Graph, m *model, data []byte) {}
