package recipe

import (
	"path/filepath"
	"testing"
)

func TestShippedRecipesAreRead(t *testing.T) {
	files, err := filepath.Glob("../../recipes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recipes, %v", err)
	}
	for _, f := range files {
		if _, err := Read(f); err != nil {
			t.Error(err)
		}
	}
}
