module github.com/edgewise-ml/edgewise/internal/kernel/_gen

go 1.26
