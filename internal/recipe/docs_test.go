package recipe

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/strictyaml"
	"github.com/edgewise-ml/edgewise/internal/train"
)

func document(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "training.md"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of the documentation, and the recipes in the tree, are recipes.
func TestWrittenRecipes(t *testing.T) {
	var texts [][]byte
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(document(t), -1) {
		texts = append(texts, m[1])
	}
	files, err := filepath.Glob(filepath.Join("..", "..", "recipes", "*.yaml"))
	if err != nil || len(files) < 2 || len(texts) < 3 {
		t.Fatalf("recipes %v, %d examples, %v", files, len(texts), err)
	}
	for _, text := range texts {
		file := filepath.Join(t.TempDir(), "example.yaml")
		if err := os.WriteFile(file, text, 0o666); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	for _, f := range files {
		r, err := Read(f)
		if err != nil {
			t.Error(err)
			continue
		}
		paths := []string{r.Model, r.Data.Spec.Data, r.Data.Train, r.Data.Test, r.Output}
		if r.Distill != nil {
			paths = append(paths, r.Distill.Teacher)
		}
		for _, p := range paths {
			if strings.HasPrefix(f, "..") && (filepath.IsAbs(p) || strings.HasPrefix(filepath.Join("recipes", p), "..")) {
				t.Errorf("%s: %s lies outside the tree", f, p)
			}
		}
		if r.fresh() {
			if _, err := r.network(&dataset.Dataset{}, 10); err != nil {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
}

// Every key is documented.
func TestDocumentedKeys(t *testing.T) {
	text := string(document(t))
	for _, more := range []string{"distillation.md", "dataset.md"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "docs", more))
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	for _, s := range []reflect.Type{reflect.TypeFor[Recipe](), reflect.TypeFor[train.Loss](), reflect.TypeFor[train.Optimizer](), reflect.TypeFor[train.Schedule](), reflect.TypeFor[train.Augment](),
		reflect.TypeFor[Data](), reflect.TypeFor[Distill](), reflect.TypeFor[train.Lesson](), reflect.TypeFor[Quantize](), reflect.TypeFor[Exception](), reflect.TypeFor[train.Update]()} {
		for _, key := range strictyaml.Keys(s) {
			if !strings.Contains(text, "`"+key+"`") {
				t.Errorf("the documentation lacks key %s of %v", key, s)
			}
		}
	}
}
