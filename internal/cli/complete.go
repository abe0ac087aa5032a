package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shells are those whose completion cobra writes and people of servers use.
var shells = []string{"bash", "zsh", "fish"}

// plainUsages takes the backquotes out of what is said of flags: a shell that
// completes them shows the words as they are.
func plainUsages(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { _, f.Usage = pflag.UnquoteUsage(f) })
	for _, c := range cmd.Commands() {
		plainUsages(c)
	}
}

func completionCommand(program string) *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "Print what completes command lines in a shell",
		Args: One("a shell"), ValidArgs: shells,
		Long: strings.ReplaceAll(`
For this shell only, and for every one from now on:

  source <(PROGRAM completion bash)
  PROGRAM completion bash > ~/.local/share/bash-completion/completions/PROGRAM
  PROGRAM completion zsh > "${fpath[1]}/_PROGRAM"
  PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish`, "PROGRAM", program),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			}
			return Usagef("%q is no shell that can be completed in: want %s", args[0], strings.Join(shells, ", "))
		},
	}
}
