package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Group is a heading of the overview with the commands under it.
type Group struct {
	Title    string
	Commands []*cobra.Command
}

// Program makes a program's root of its commands. The root's Long says what the
// program is; its Example, without a heading, ends the overview; version is what
// the command of that name tells.
func Program(root *cobra.Command, version func() (Version, error), groups ...Group) *cobra.Command {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	ours := helpCommand()
	groups = append(groups, Group{"This program", []*cobra.Command{
		ours, versionCommand(version), completionCommand(root.Name()), manCommand(),
	}})
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.Title, Title: g.Title})
		for _, cmd := range g.Commands {
			cmd.GroupID = g.Title
			root.AddCommand(cmd)
		}
	}
	root.RunE = orVersion(root, version)
	root.Args = cobra.ArbitraryArgs
	root.SetHelpCommand(ours)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { help(cmd.OutOrStdout(), cmd) })
	root.SetUsageFunc(func(cmd *cobra.Command) error { help(cmd.ErrOrStderr(), cmd); return nil })
	return root
}

// orVersion is choose, but for --version, which fingers know as the command.
func orVersion(root *cobra.Command, version func() (Version, error)) func(*cobra.Command, []string) error {
	asked := root.Flags().Bool("version", false, "do what the command version does")
	_ = root.Flags().MarkHidden("version")
	return func(cmd *cobra.Command, args []string) error {
		if !*asked || len(args) > 0 {
			return choose(cmd, args)
		}
		v, err := version()
		if err != nil {
			return err
		}
		return v.Print(cmd.OutOrStdout())
	}
}

// Parent makes a command of those under it.
func Parent(cmd *cobra.Command, under ...*cobra.Command) *cobra.Command {
	cmd.RunE, cmd.Args = choose, cobra.ArbitraryArgs
	cmd.AddCommand(under...)
	return cmd
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Tell more of a command",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil {
				return Usage(err)
			}
			if len(rest) > 0 && of.HasAvailableSubCommands() {
				return choose(of, rest)
			}
			help(cmd.OutOrStdout(), of)
			return nil
		},
	}
}

// help tells all of a command: what it is for, how it is called, its flags.
func help(w io.Writer, cmd *cobra.Command) {
	if cmd.HasAvailableSubCommands() {
		overview(w, cmd)
		return
	}
	fmt.Fprintf(w, "usage: %s\n\n%s.\n", usageLine(cmd), cmd.Short)
	if cmd.Long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(cmd.Long))
	}
	printExample(w, cmd)
	printFlags(w, cmd)
}

// usageLine is how a command is called, in one line.
func usageLine(cmd *cobra.Command) string {
	line := cmd.UseLine()
	return strings.TrimSuffix(line, " [flags]")
}

// overview lists the commands under a command, by group.
func overview(w io.Writer, cmd *cobra.Command) {
	if cmd.HasParent() {
		fmt.Fprintf(w, "usage: %s\n\n%s.\n", usageLine(cmd), cmd.Short)
	}
	if cmd.Long != "" {
		fmt.Fprintf(w, "%s\n", strings.TrimSpace(cmd.Long))
	}
	for _, g := range append(cmd.Groups(), &cobra.Group{}) {
		commands := inGroup(cmd, g.ID)
		if len(commands) == 0 {
			continue
		}
		fmt.Fprintln(w)
		if g.Title != "" {
			fmt.Fprintln(w, Paint(w, Bold, g.Title+":"))
		}
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, c := range commands {
			fmt.Fprintf(table, "  %s %s\t%s\n", cmd.CommandPath(), c.Use, c.Short)
		}
		table.Flush()
	}
	printExample(w, cmd)
	printFlags(w, cmd)
}

// inGroup lists the commands of a group that are to be seen. Help is one of them,
// which cobra counts as none.
func inGroup(cmd *cobra.Command, id string) (in []*cobra.Command) {
	for _, c := range cmd.Commands() {
		if c.GroupID == id && (c.IsAvailableCommand() || c.Name() == "help") {
			in = append(in, c)
		}
	}
	return in
}

func printExample(w io.Writer, cmd *cobra.Command) {
	if example := strings.Trim(cmd.Example, "\n"); example != "" {
		fmt.Fprintf(w, "\n%s\n", example)
	}
}

func printFlags(w io.Writer, cmd *cobra.Command) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			flags.AddFlag(f)
		}
	})
	if flags.HasAvailableFlags() {
		fmt.Fprintf(w, "\n%s\n%s", Paint(w, Bold, "Flags:"), flags.FlagUsagesWrapped(80))
	}
}
