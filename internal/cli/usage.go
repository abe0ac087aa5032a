package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a command line that cannot be understood.
type usageError struct {
	error
	near string // what may have been meant, or ""
}

func (u *usageError) Unwrap() error { return u.error }

// cure is where a person reads on.
func (u *usageError) cure(cmd *cobra.Command) string {
	if u.near != "" {
		return "did you mean " + u.near + "?"
	}
	return "see: " + cmd.CommandPath() + " --help"
}

// Usage marks an error as one of the command line; the exit status is 2.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{error: err}
}

// Usagef returns an error of the command line.
func Usagef(format string, args ...any) error { return Usage(fmt.Errorf(format, args...)) }

// One wants one argument; what says which.
func One(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return Usagef("want one argument, %s; got %d", what, len(args))
		}
		return nil
	}
}

// None wants no arguments.
func None(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Usagef("what is %q for? There are no arguments", args[0])
	}
	return nil
}

// Between wants at least and at most a number of arguments; what says which.
func Between(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return Usagef("want %s; got %s", what, arguments(len(args)))
		}
		return nil
	}
}

// AtLeast wants a number of arguments or more; what says which.
func AtLeast(least int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least {
			return Usagef("want %s; got %s", what, arguments(len(args)))
		}
		return nil
	}
}

// arguments counts them in words.
func arguments(n int) string {
	switch n {
	case 0:
		return "no arguments"
	case 1:
		return "one argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// choose is what a command does that only has others under it: it was not told which.
func choose(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		overview(cmd.ErrOrStderr(), cmd)
		return Status(2)
	}
	misuse := &usageError{error: fmt.Errorf("unknown command %q", args[0])}
	cmd.SuggestionsMinimumDistance = nearEnough
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		for i, name := range near {
			near[i] = cmd.CommandPath() + " " + name
		}
		misuse.near = strings.Join(near, " or ")
	}
	return misuse
}

// flagError makes an error of the command line of what the flags' parser says.
func flagError(cmd *cobra.Command, err error) error {
	misuse := &usageError{error: err}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		misuse.near = nearFlag(cmd.Flags(), unknown.GetSpecifiedName())
	}
	return misuse
}

// nearEnough is how many letters a misspelt word may differ in: with more it is
// another one.
const nearEnough = 2

// nearFlag is the flag that a misspelt name was meant to be, or "".
func nearFlag(flags *pflag.FlagSet, name string) string {
	best, least := "", nearEnough+1
	flags.VisitAll(func(f *pflag.Flag) {
		if d := distance(name, f.Name); d < least && d < len(f.Name) && !f.Hidden {
			best, least = "--"+f.Name, d
		}
	})
	return best
}

// distance is how many letters must be inserted, removed or replaced to make b of
// a (Levenshtein's distance).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		above := slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			change := above[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, above[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
