// Package cli is the command line: one file per verb.
//
// Conventions, which scripts may lean on:
//
//   - The result goes to stdout, progress and notes to stderr. With --json the result is
//     one JSON value with units in its names (docs/cli-json.md).
//   - Exit codes are those of the Exit constants.
//   - A setting comes from its flag, else from EDGEWISE_<FLAG>, else from edgewise.yaml
//     in the working directory.
//   - Files appear complete or not at all, also when the program is interrupted.
//   - Nothing but plain text is written where the output is not a terminal.
package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise"
)

// Main runs the program for the process's arguments and returns its exit code. A first
// interrupt asks the verb to stop and clean up; a second one ends the process.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// Run executes one command line and returns its exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{out: bufio.NewWriterSize(stdout, 1<<16), err: stderr, args: args, terminal: isTerminal(stdout)}
	a.progress = newProgress(stderr)
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	a.progress.clear()
	if err == nil {
		err = a.helpless
	}
	if flushed := a.out.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("cannot write the result: %w", flushed)
	}
	if err == nil {
		return ExitOK
	}
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "edgewise: interrupted; nothing half-written is left")
		return ExitInterrupted
	}
	report(stderr, a.named(err))
	return exitCode(err)
}

// app is what the verbs share.
type app struct {
	out      *bufio.Writer
	err      io.Writer
	args     []string
	progress *progress
	origins  map[string]string // by flag: the variable or key of the file that set it
	helpless error             // help was asked for something that there is not
	terminal bool              // stdout is one

	json    bool
	quiet   bool
	threads int
	isa     string
	shapes  []string
	tuning  string
}

// note writes a remark for people.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		a.progress.clear()
		fmt.Fprintf(a.err, "edgewise: note: "+format+"\n", args...)
	}
}

// warn writes a remark that is shown even with --quiet.
func (a *app) warn(format string, args ...any) {
	a.progress.clear()
	fmt.Fprintf(a.err, "edgewise: warning: "+format+"\n", args...)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "edgewise",
		Short: "Make trained networks small and fast, and run them",
		Long: `Edgewise takes a trained network (ONNX or TensorFlow Lite), makes it as small and
fast as its accuracy allows, proves it by measurement, and runs it.

Wherever a MODEL is asked for, zoo:NAME takes a built-in network, as
zoo:mobilenetv2; edgewise zoo lists them.`,
		Example: `  edgewise optimize
  edgewise optimize model.tflite --data images/ --max-drop 1 -o out
  edgewise bench zoo:mobilenetv2 --ops`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args[0])
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if a.origins, err = applySettings(cmd); err != nil {
				return err
			}
			a.progress.quiet = a.quiet
			return nil
		},
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		reason, _, _ := strings.Cut(err.Error(), ": strconv.")
		return hinted(usagef("%s", reason), "%s --help lists the flags", cmd.CommandPath())
	})
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if rest := cmd.Flags().Args(); cmd == root && len(rest) > 0 {
			a.helpless = unknownVerb(cmd, rest[0])
			return
		}
		help(cmd, args)
	})
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no notes")
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(a.optimize(), a.quantize(), a.train(), a.distill(), a.inspect(), a.run(), a.bench(), a.compare(), a.convert(), a.seal(), a.tune(), a.zoo(), a.doctor(), a.version())
	return root
}

func unknownVerb(root *cobra.Command, verb string) error {
	err := usagef("unknown verb %q", verb)
	var verbs []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			verbs = append(verbs, c.Name())
		}
	}
	if near := nearest(verb, verbs); near != "" {
		return hinted(err, "did you mean: edgewise %s?", near)
	}
	return hinted(err, "the verbs are %s", strings.Join(verbs, ", "))
}

// modelFlags adds the flags of verbs that run a model.
func (a *app) modelFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&a.threads, "threads", 0, "worker threads; 0 takes all usable cores")
	f.StringVar(&a.isa, "isa", "", "instruction set level of the kernels, as avx2; best of the machine by default")
	f.StringArrayVar(&a.shapes, "shape", nil, "shape of an input of unknown size, as input=1x3x224x224 (repeatable)")
}

// tuningFlag adds the flag of verbs for which it matters which kernels run.
func (a *app) tuningFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.tuning, "tuning", "", "`file` of measured kernels, or none; MODEL"+edgewise.TuningSuffix+" where there is one by default")
}

func (a *app) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.json, "json", false, "write the result as JSON")
}

// arguments is a check of the number of positional arguments that fails as a usage error.
func arguments(lo, hi int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= lo && len(args) <= hi {
			return nil
		}
		return hinted(usagef("%s takes %s, given: %s", cmd.Name(), what, counted(len(args), "argument")), "usage: %s", cmd.UseLine())
	}
}

// Version is the program's version; release builds set it by -ldflags -X.
var Version = ""

// version returns the version of this build.
func version() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}
