package layout

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// This file holds README's map of the tree against the tree.

// mapLine is a line of the map: a directory at the top, and what is in it.
var mapLine = regexp.MustCompile(`(?m)^    ([a-z-]+)/ +(\S.*)$`)

// subfolder is a directory that such a line names: "pid1/ (PID 1's socket)".
var subfolder = regexp.MustCompile(`\b([a-z0-9]+)/`)

// theMap is the section of README: what it says of each directory at the top.
func theMap(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## The tree\n")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatal("README.md has no section “The tree”")
	}
	lines := map[string]string{}
	for _, found := range mapLine.FindAllStringSubmatch(section, -1) {
		lines[found[1]] = found[2]
	}
	return lines
}

// TestMapOfTheTree: what the map names is there, each directory at the top is in the
// map, and so is each Go package.
func TestMapOfTheTree(t *testing.T) {
	lines := theMap(t)
	isDir := func(name string) bool {
		info, err := os.Stat(filepath.Join("..", name))
		return err == nil && info.IsDir()
	}
	for top, says := range lines {
		if !isDir(top) {
			t.Errorf("the map has %s/, which is not there", top)
		}
		for _, found := range subfolder.FindAllStringSubmatch(says, -1) {
			if sub := path.Join(top, found[1]); !isDir(sub) {
				t.Errorf("the map has %s/, which is not there", sub)
			}
		}
	}
	for _, name := range topFolders(t) {
		if lines[name] == "" {
			t.Errorf("the map has no %s/", name)
		}
	}
	for path := range packages(t) {
		if dir := top(path); dir != "" && lines[dir] == "" {
			t.Errorf("package %s lies in no directory of the map", path)
		}
	}
}

// topFolders are the directories at the top, without those that git ignores and
// those that are hidden.
func topFolders(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := os.ReadFile("../.gitignore")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && e.Name()[0] != '.' && !slices.Contains(strings.Fields(string(ignored)), "/"+e.Name()+"/") {
			names = append(names, e.Name())
		}
	}
	return names
}

// linked is a link of a document to a file; cited a path of the tree that it names.
var (
	linked = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	cited  = regexp.MustCompile("`((?:[a-z-]+/)[\\w./-]*)`")
)

// TestDocuments: what the documents link to is there, and so is each path that they
// cite below a directory at the top.
func TestDocuments(t *testing.T) {
	documents, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	tops := topFolders(t)
	for _, document := range append(documents, "../README.md", "../CONTRIBUTING.md") {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range linked.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), found[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", document, found[1])
			}
		}
		for _, found := range cited.FindAllStringSubmatch(string(text), -1) {
			name, _, _ := strings.Cut(found[1], "/")
			if _, err := os.Stat(filepath.Join("..", found[1])); slices.Contains(tops, name) && err != nil {
				t.Errorf("%s cites %s, which is not there", document, found[1])
			}
		}
	}
}
