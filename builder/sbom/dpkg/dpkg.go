// Package dpkg reads the database of installed packages that a Debian system,
// or a container image made of Debian packages, carries (dpkg(1), FILES):
//
//	var/lib/dpkg/status            a paragraph for each package
//	var/lib/dpkg/info/NAME.list    the files of a package, one a line
//	var/lib/dpkg/status.d/NAME     one paragraph: images without dpkg, such as distroless
//	var/lib/dpkg/status.d/NAME.md5sums
//
// Left out: packages that are removed, half-installed or only configured, and
// diversions. Packages that are unpacked and not configured, or wait for a
// trigger, are there: their files are.
package dpkg

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/sbom/deb822"
)

// Package is a package that is installed.
type Package struct {
	Name          string
	Version       string
	Architecture  string
	Source        string // the source package, its version too where that differs: "glibc (2.36-9)"; "" as Name
	Files         []string
	FilesRecorded bool // false: the database does not tell the files
}

// Tree is a file system that may hold a database. Names are slash separated and
// relative to its root. Reading what is not there gives fs.ErrNotExist.
type Tree interface {
	ReadFile(name string) ([]byte, error)
	Names(dir string) []string // in a directory, sorted; none if there is no such directory
}

const (
	statusFile = "var/lib/dpkg/status"
	infoDir    = "var/lib/dpkg/info"
	statusDir  = "var/lib/dpkg/status.d"
)

// Read returns the packages installed, sorted by name and architecture. A tree
// without a database has none.
func Read(tree Tree) ([]Package, error) {
	packages, err := readStatus(tree)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", statusFile, err)
	}
	for _, name := range tree.Names(statusDir) {
		if strings.HasSuffix(name, ".md5sums") || strings.HasPrefix(name, ".") {
			continue
		}
		p, err := readSingle(tree, path.Join(statusDir, name))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path.Join(statusDir, name), err)
		}
		packages = append(packages, p)
	}
	slices.SortStableFunc(packages, func(a, b Package) int {
		return strings.Compare(a.Name+" "+a.Architecture, b.Name+" "+b.Architecture)
	})
	return packages, nil
}

func readStatus(tree Tree) ([]Package, error) {
	data, err := tree.ReadFile(statusFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	packages, err := ParseStatus(string(data))
	if err != nil {
		return nil, err
	}
	for i := range packages {
		p := &packages[i]
		for _, name := range []string{p.Name, p.Name + ":" + p.Architecture} {
			list, err := tree.ReadFile(path.Join(infoDir, name+".list"))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			p.Files, p.FilesRecorded = parseList(string(list)), true
		}
	}
	return packages, nil
}

// unpacked are the states of packages whose files are there (dpkg(1), "Package states").
var unpacked = []string{"unpacked", "half-configured", "triggers-awaited", "triggers-pending", "installed"}

// ParseStatus reads a status file and returns what is installed.
func ParseStatus(text string) ([]Package, error) {
	paragraphs, err := deb822.Parse(text)
	if err != nil {
		return nil, err
	}
	var packages []Package
	for _, fields := range paragraphs {
		// "want flag state", such as "install ok installed" or "hold ok installed"
		if status := strings.Fields(fields["status"]); len(status) != 3 || !slices.Contains(unpacked, status[2]) {
			continue
		}
		p, err := newPackage(fields)
		if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
	return packages, nil
}

func readSingle(tree Tree, name string) (Package, error) {
	data, err := tree.ReadFile(name)
	if err != nil {
		return Package{}, err
	}
	paragraphs, err := deb822.Parse(string(data))
	if err != nil {
		return Package{}, err
	}
	if len(paragraphs) != 1 {
		return Package{}, fmt.Errorf("%d paragraphs, want one", len(paragraphs))
	}
	p, err := newPackage(paragraphs[0])
	if err != nil {
		return p, err
	}
	sums, err := tree.ReadFile(name + ".md5sums")
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	p.Files, p.FilesRecorded = parseSums(string(sums)), true
	return p, err
}

func newPackage(fields deb822.Paragraph) (Package, error) {
	p := Package{Name: fields["package"], Version: fields["version"], Architecture: fields["architecture"], Source: fields["source"]}
	if p.Name == "" || p.Version == "" || strings.ContainsAny(p.Name+p.Architecture, "/ \n") {
		return p, fmt.Errorf("package %q has the version %q", p.Name, p.Version)
	}
	return p, nil
}

// parseList reads a .list file: absolute paths, directories among them.
func parseList(text string) []string {
	var files []string
	for line := range strings.Lines(text) {
		if name := strings.TrimPrefix(strings.TrimRight(line, "\n"), "/"); name != "" && name != "." {
			files = append(files, name)
		}
	}
	return files
}

// parseSums reads a .md5sums file: digest, two blanks, path.
func parseSums(text string) []string {
	var files []string
	for line := range strings.Lines(text) {
		_, name, _ := strings.Cut(strings.TrimRight(line, "\n"), "  ")
		if name = strings.TrimPrefix(name, "/"); name != "" {
			files = append(files, name)
		}
	}
	return files
}

// SourcePackage is the name and the version of the source that the package was built from.
func (p Package) SourcePackage() (name, version string) {
	return SourceOf(p.Name, p.Version, p.Source)
}

// SourceOf reads the Source field of a package: empty, "glibc", or "glibc (2.36-9)".
func SourceOf(name, version, source string) (sourceName, sourceVersion string) {
	if source == "" {
		return name, version
	}
	sourceName, rest, versioned := strings.Cut(source, " (")
	if versioned {
		version = strings.TrimSuffix(rest, ")")
	}
	return sourceName, version
}
