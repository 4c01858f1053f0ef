// Package spelling finds the words that a mistyped one may have meant.
package spelling

import (
	"cmp"
	"slices"
	"strings"
)

// maxWord bounds the words that are compared: the work grows with the product of lengths.
const maxWord = 128

// Near returns up to limit candidates that word may stand for, the nearest first, nil where
// none is near. One that contains the word, or the other way round, is near; else up to a
// third of the letters may differ. Capitals do not matter.
func Near(word string, candidates []string, limit int) []string {
	type near struct {
		word string
		d    int
	}
	var found []near
	w, most := strings.ToLower(word), len(word)/3+1
	if w == "" || len(w) > maxWord {
		return nil
	}
	for _, c := range candidates {
		l := strings.ToLower(c)
		d := most + 1
		if len(l) <= len(w)+most && len(l) >= len(w)-most {
			d = Distance(w, l)
		}
		if len(l) > 2 && len(w) > 2 && (strings.Contains(l, w) || strings.Contains(w, l)) {
			d = min(d, 1)
		}
		if d <= most {
			found = append(found, near{c, d})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return cmp.Compare(a.d, b.d) })
	var out []string
	for _, f := range found[:min(limit, len(found))] {
		out = append(out, f.word)
	}
	return out
}

// Distance is Levenshtein's, in bytes, with neighbouring letters swapped counted once.
func Distance(a, b string) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			d := prev[j-1]
			if a[i-1] != b[j-1] {
				d++
			}
			d = min(d, prev[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}
