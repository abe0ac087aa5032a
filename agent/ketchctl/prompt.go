package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/agent/prompt"
	"github.com/ketch-os/ketch/internal/cli"
)

func (m machine) promptCommand() *cobra.Command {
	return &cobra.Command{
		Use: "prompt", Short: "Type commands, one a line, without ketchctl before them",
		Args: cli.None,
		Long: `
This is what ssh leads to on a machine without a shell. Tab completes, the arrows
up and down lead through what was typed before, Ctrl-C drops a line or ends a
command; help lists what there is, exit or Ctrl-D leaves.

  ketchctl prompt
  ssh core@machine`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, _ := os.Hostname()
			streams := cli.Streams{In: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()}
			p := prompt.Prompt{
				Name: "ketchctl", Text: host + "> ", Streams: streams,
				Greeting: m.greeting() + "There is no shell here. help lists what there is; exit leaves.\n",
				Run: func(ctx context.Context, args []string) int {
					if args[0] == "prompt" {
						return 0 // it is here already
					}
					return cli.Run(ctx, program(m), args, streams)
				},
				Complete: func(args []string) []string { return completions(m, args) },
			}
			status, err := p.Serve(cmd.Context())
			if err == nil && status != 0 {
				err = cli.Status(status)
			}
			return err
		},
	}
}

// greeting names the system, where that is known.
func (m machine) greeting() string {
	v, err := m.version()
	if err != nil {
		return ""
	}
	return "Ketch " + v.Version + "\n"
}

// completions are what cobra would offer a shell for the last of some words: a
// candidate a line, a description after a tab, and a directive as ":N" at the end.
func completions(m machine, args []string) (list []string) {
	var out bytes.Buffer
	asked := append([]string{cobra.ShellCompNoDescRequestCmd}, args...)
	cli.Run(context.Background(), program(m), asked, cli.Streams{In: strings.NewReader(""), Out: &out, Err: io.Discard})
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, ":") {
			break
		}
		if strings.HasPrefix(line, args[len(args)-1]) {
			list = append(list, line)
		}
	}
	return list
}
