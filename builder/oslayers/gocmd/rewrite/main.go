// Command rewrite turns main packages into libraries of a busybox: rewrite DIR TAGS
// PACKAGE… writes each to DIR/cmd/NAME and prints the names.
//
// It is a program of its own because of what it is made of: golang.org/x/tools/imports
// makes a directory in the user's cache as soon as a program that contains it starts.
// Package gocmd runs it with a cache of its own.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/u-root/gobusybox/src/pkg/bb/bbinternal"
	"golang.org/x/tools/go/packages"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) < 3 {
		return errors.New("usage: rewrite DIR TAGS PACKAGE…")
	}
	dir, tags := args[0], args[1]
	// Types of imported packages come from their export data, so this compiles
	// what the program needs anyway.
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports |
			packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedEmbedFiles | packages.NeedModule,
		BuildFlags: []string{"-trimpath", "-buildvcs=false", "-tags=" + tags},
	}, args[2:]...)
	if err != nil {
		return err
	}
	for _, l := range loaded {
		if len(l.Errors) > 0 {
			return fmt.Errorf("load %s: %w", l.PkgPath, l.Errors[0])
		}
		name := path.Base(l.PkgPath)
		if err := bbinternal.NewPackage(name, l).Rewrite(filepath.Join(dir, "cmd", name), "busybox/command"); err != nil {
			return fmt.Errorf("rewrite %s: %w", l.PkgPath, err)
		}
		fmt.Fprintln(out, name)
	}
	return nil
}
