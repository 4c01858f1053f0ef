package spelling

import (
	"slices"
	"testing"
)

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"adma", "adam", 1}, {"cosine", "cosine", 0}, {"flaw", "lawn", 2}} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := Distance(c.b, c.a); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.b, c.a, got, c.want)
		}
	}
}

func TestNear(t *testing.T) {
	names := []string{"stage0_relu", "stage1_relu", "stage2_relu", "scores", "Pool"}
	for word, want := range map[string][]string{
		"stage1_rleu": {"stage1_relu", "stage0_relu"}, "pool": {"Pool"}, "relu": {"stage0_relu", "stage1_relu"}, "image": nil, "": nil,
	} {
		if got := Near(word, names, 2); !slices.Equal(got, want) {
			t.Errorf("Near(%q) = %q, want %q", word, got, want)
		}
	}
}
