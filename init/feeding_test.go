package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhoFeeds: the watchdog is fed by the boot before services run, by the loop
// that has looked at PID 1's liveness, and on the way down. Nothing that may run
// beside the loop feeds it.
func TestWhoFeeds(t *testing.T) {
	want := []string{
		"boot.go boot RunFeeding",                // until services run
		"boot.go initramfsStage RunFeeding",      //
		"machine/watchdog.go Feed Ping",          // the door to the device
		"serve.go serve Feed",                    // after a look at liveness
		"shutdown/shutdown.go Run EachFeeding",   // when the loop has ended
		"shutdown/shutdown.go rest Feed",         //
		"step/step.go EachFeeding withinFeeding", // what the names say
		"step/step.go RunFeeding withinFeeding",
		"step/step.go within Feed",
		"step/step.go withinFeeding Feed",
	}
	var got []string
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				for _, name := range feeders(f.Body) {
					got = append(got, path+" "+f.Name.Name+" "+name)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("who feeds the watchdog (-want +got):\n%s", diff)
	}
}

// feeders are the names in a function's body that stand for feeding.
func feeders(body ast.Node) (names []string) {
	ast.Inspect(body, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && (id.Name == "Feed" || id.Name == "Ping" || strings.HasSuffix(id.Name, "Feeding")) {
			names = append(names, id.Name)
		}
		return true
	})
	return names
}
