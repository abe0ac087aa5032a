package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manCommand writes a manual page, man(7), for the program and one for each
// command, from what --help says. It is for packaging, and not in the overview.
func manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual pages into a directory", Hidden: true,
		Args: One("a directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			return writePages(args[0], cmd.Root())
		},
	}
}

func writePages(dir string, cmd *cobra.Command) error {
	var page strings.Builder
	writePage(&page, cmd)
	if err := os.WriteFile(filepath.Join(dir, pageName(cmd)+".1"), []byte(page.String()), 0o644); err != nil {
		return err
	}
	for _, under := range cmd.Commands() {
		if !under.IsAvailableCommand() {
			continue
		}
		if err := writePages(dir, under); err != nil {
			return err
		}
	}
	return nil
}

// pageName is what man is asked for: ketch-keys-new.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// writePage writes one page. Its lines are not stretched to the margin: what is
// typed would have more blanks than one.
func writePage(w io.Writer, cmd *cobra.Command) {
	fmt.Fprintf(w, ".TH %s 1 \"\" \"Ketch\" \"Ketch\"\n.ad l\n", strings.ToUpper(roff(pageName(cmd))))
	about := cmd.Short
	if about == "" {
		about = strings.TrimSuffix(strings.TrimPrefix(cmd.Long, cmd.Name()+" "), ".")
	}
	fmt.Fprintf(w, ".SH NAME\n%s \\- %s\n", roff(pageName(cmd)), roff(about))
	fmt.Fprintf(w, ".SH SYNOPSIS\n%s\n", roff(synopsis(cmd)))
	if cmd.Short != "" && cmd.Long != "" {
		fmt.Fprint(w, ".SH DESCRIPTION\n")
		writeText(w, cmd.Long)
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprint(w, ".SH COMMANDS\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(w, ".TP\n\\fB%s\\fP\n%s.\n", roff(c.Use), roff(c.Short))
			}
		}
	}
	writeText(w, cmd.Example)
	writeFlags(w, cmd)
	writeSeeAlso(w, cmd)
}

// synopsis is how a command is called; of one with others under it, which of them.
func synopsis(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return usageLine(cmd) + " COMMAND"
	}
	return usageLine(cmd)
}

// writeSeeAlso names the page above and those below.
func writeSeeAlso(w io.Writer, cmd *cobra.Command) {
	var pages []string
	if cmd.HasParent() {
		pages = append(pages, pageName(cmd.Parent()))
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			pages = append(pages, pageName(c))
		}
	}
	for i, page := range pages {
		pages[i] = roff(page) + "(1)"
	}
	fmt.Fprintf(w, ".SH SEE ALSO\n%s\n", strings.Join(pages, ",\n"))
}

// writeText writes paragraphs; those that are indented stay as they are.
func writeText(w io.Writer, text string) {
	for _, paragraph := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if paragraph = strings.Trim(paragraph, "\n"); paragraph == "" {
			continue
		}
		lines := strings.Split(paragraph, "\n")
		for i, line := range lines {
			lines[i] = roff(line)
		}
		paragraph = strings.Join(lines, "\n")
		if strings.HasPrefix(paragraph, " ") {
			fmt.Fprintf(w, ".PP\n.nf\n%s\n.fi\n", paragraph)
		} else {
			fmt.Fprintf(w, ".PP\n%s\n", paragraph)
		}
	}
}

func writeFlags(w io.Writer, cmd *cobra.Command) {
	title := ".SH OPTIONS\n"
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		fmt.Fprint(w, title)
		title = ""
		value, usage := pflag.UnquoteUsage(f)
		usage += defaultOf(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		heading := strings.TrimSuffix(fmt.Sprintf("\\fB%s\\fP %s", roff(name), roff(value)), " ")
		fmt.Fprintf(w, ".TP\n%s\n%s\n", heading, roff(usage))
	})
}

// defaultOf tells what a flag is unless it is given, where that is something.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "0", "0s", "false", "[]", "<nil>":
		return ""
	}
	if f.Value.Type() == "string" {
		return fmt.Sprintf(" (default %q)", f.DefValue)
	}
	return fmt.Sprintf(" (default %s)", f.DefValue)
}

// roff escapes a line. A dash stays the character that people type, and a dot or
// an apostrophe at the start is no request of troff's.
func roff(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}
