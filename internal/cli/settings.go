package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// SettingsFile holds settings of the working directory: flag names with values, for all
// verbs, or for one below the verb's name:
//
//	threads: 2
//	bench:
//	  runs: 200
const SettingsFile = "edgewise.yaml"

// settingsBytes bounds what is read of the file.
const settingsBytes = 1 << 20

// envPrefix starts the names of environment variables: --max-drop is EDGEWISE_MAX_DROP.
const envPrefix = "EDGEWISE_"

// applySettings gives every flag that is not on the command line its value from the
// environment or the settings file, and returns where flags have theirs from.
func applySettings(cmd *cobra.Command) (origins map[string]string, err error) {
	file, err := readSettings(cmd.Root())
	if err != nil {
		return nil, err
	}
	origins = map[string]string{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if err != nil || f.Changed || f.Name == "help" {
			return
		}
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := os.LookupEnv(name); ok && v != "" {
			if e := cmd.Flags().Set(f.Name, v); e != nil {
				err = usagef("%s=%q is no valid %s", name, v, f.Value.Type())
			}
			origins[f.Name] = name
			return
		}
		for _, v := range file.lookup(cmd.Name(), f.Name) {
			if e := cmd.Flags().Set(f.Name, v); e != nil {
				err = usagef("%s: %s: %q is no valid %s", SettingsFile, f.Name, v, f.Value.Type())
			}
			origins[f.Name] = SettingsFile + ": " + f.Name
		}
	})
	return origins, err
}

// named returns a usage error with the flags in its message named after what set them.
func (a *app) named(err error) error {
	if exitCode(err) != ExitUsage {
		return err
	}
	message := err.Error()
	for flag, origin := range a.origins {
		var b strings.Builder
		for rest := message; rest != ""; {
			before, after, found := strings.Cut(rest, "--"+flag)
			b.WriteString(before)
			switch part := after != "" && (after[0] == '-' || after[0] >= 'a' && after[0] <= 'z'); {
			case found && part:
				b.WriteString("--" + flag)
			case found:
				b.WriteString(origin)
			}
			rest = after
		}
		message = b.String()
	}
	return &exitError{code: ExitUsage, err: errors.New(message), hints: hints(err)}
}

// settings are the values of the file by key; those of a verb have the key "verb.flag".
type settings map[string][]string

func (s settings) lookup(verb, flag string) []string {
	if v, ok := s[verb+"."+flag]; ok {
		return v
	}
	return s[flag]
}

func readSettings(root *cobra.Command) (settings, error) {
	f, err := os.Open(SettingsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var tree map[string]any
	if err := yaml.NewDecoder(io.LimitReader(f, settingsBytes)).Decode(&tree); err != nil && !errors.Is(err, io.EOF) {
		return nil, usagef("%s: %v", SettingsFile, err)
	}
	verbs, flags := known(root)
	out := settings{}
	for key, v := range tree {
		sub, nested := v.(map[string]any)
		switch {
		case nested && verbs[key] != nil:
			for k, v := range sub {
				if verbs[key].Flag(k) == nil {
					return nil, unknownSetting(key+"."+k, k, verbFlags(verbs[key]))
				}
				if out[key+"."+k], err = values(v); err != nil {
					return nil, usagef("%s: %s.%s: %v", SettingsFile, key, k, err)
				}
			}
		case flags[key]:
			if out[key], err = values(v); err != nil {
				return nil, usagef("%s: %s: %v", SettingsFile, key, err)
			}
		default:
			var names []string
			for n := range flags {
				names = append(names, n)
			}
			return nil, unknownSetting(key, key, names)
		}
	}
	return out, nil
}

func unknownSetting(key, word string, names []string) error {
	err := usagef("%s: %s is not a setting", SettingsFile, key)
	if near := nearest(word, names); near != "" {
		return hinted(err, "did you mean %s?", near)
	}
	return hinted(err, "keys are the names of flags, or of verbs with flags below")
}

// known returns the verbs, and the names of all their flags.
func known(root *cobra.Command) (map[string]*cobra.Command, map[string]bool) {
	verbs, flags := map[string]*cobra.Command{}, map[string]bool{}
	for _, c := range root.Commands() {
		verbs[c.Name()] = c
		for _, f := range verbFlags(c) {
			flags[f] = true
		}
	}
	return verbs, flags
}

func verbFlags(c *cobra.Command) []string {
	var names []string
	visit := func(f *pflag.Flag) { names = append(names, f.Name) }
	c.Flags().VisitAll(visit)
	c.InheritedFlags().VisitAll(visit)
	return names
}

// values returns a scalar, or the items of a list for a repeatable flag, as flags take them.
func values(v any) ([]string, error) {
	switch v := v.(type) {
	case []any:
		var out []string
		for _, item := range v {
			s, err := values(item)
			if err != nil || len(s) != 1 {
				return nil, errors.New("a list may hold plain values only")
			}
			out = append(out, s...)
		}
		return out, nil
	case map[string]any, nil:
		return nil, errors.New("wants a plain value")
	}
	return []string{fmt.Sprint(v)}, nil
}
