// Command check fails when a kernel configuration is not what the fragments
// and the hardening list ask for.
//
// Kconfig drops a request whose dependencies are not met without a word; this
// command is the word. It reads three kinds of files, all beside each other:
//
//   - fragments (*.config): every symbol must have the value asked for;
//   - hardening.list: same syntax, what the kernel should have for its defence;
//   - hardening.exceptions: items of the list that are knowingly not met, each
//     with its reason. One that is met after all, or not on the list, is stale
//     and an error too.
//
// With -symbols, a file naming every symbol of the kernel's Kconfig files, a
// misspelt "is not set" is found as well: it would hold for ever.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

// run checks what the arguments name, writes each problem to stderr and a
// summary to stdout.
func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(stderr)
	configPath := flags.String("config", ".config", "the configuration the kernel was built with")
	listPath := flags.String("hardening", "kernel-config/hardening.list", "what the kernel should have for its defence")
	exceptionsPath := flags.String("exceptions", "kernel-config/hardening.exceptions", "what of it is knowingly not met, and why")
	symbolsPath := flags.String("symbols", "", "names of all symbols that the kernel's Kconfig files define (optional)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("check configuration: no fragments given")
	}
	config, err := readSettings(*configPath)
	if err != nil {
		return err
	}
	fragments, err := readSettings(flags.Args()...)
	if err != nil {
		return err
	}
	list, err := readSettings(*listPath)
	if err != nil {
		return err
	}
	exceptions, err := readExceptions(*exceptionsPath)
	if err != nil {
		return err
	}
	known, err := readSymbols(*symbolsPath)
	if err != nil {
		return err
	}

	problems := check(fragments, list, exceptions, known, valuesOf(config))
	for _, problem := range problems {
		fmt.Fprintln(stderr, problem)
	}
	if len(problems) > 0 {
		return fmt.Errorf("check %s: %d problems", *configPath, len(problems))
	}
	fmt.Fprintf(stdout, "%d symbols in effect; %d of %d hardening items met, %d excepted\n",
		len(fragments), len(list)-len(exceptions), len(list), len(exceptions))
	return nil
}
