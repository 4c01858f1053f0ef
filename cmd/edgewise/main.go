// Command edgewise makes trained networks small and fast, and runs them.
package main

import (
	"os"

	"github.com/edgewise-ml/edgewise/internal/cli"
)

func main() { os.Exit(cli.Main()) }
