// Package rpm reads the database of installed packages of RPM's family of
// distributions, in the three forms that images have it in:
//
//	rpmdb.sqlite  since RPM 4.16: a table of an SQLite database
//	Packages.db   SUSE: RPM's own "ndb"
//	Packages      before: a hash table of Berkeley DB
//
// Each holds one header for each package (header.go). They are read as far as that
// takes, by code of our own: the libraries that write them weigh many times more.
//
// Left out: indexes, signatures of headers, and changes that a program which was
// killed has left in SQLite's write-ahead log: a log that is not empty is an error.
package rpm

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// Package is a package that is installed.
type Package struct {
	Name         string
	Epoch        int    // 0 is that of a package without one
	Version      string // "5.2.15-3.fc38": version and release
	Architecture string
	Source       string // file name of the source package: "bash-5.2.15-3.fc38.src.rpm"
	Licence      string // as the package states it
	Files        []string
}

// Tree is a file system that may hold a database. Reading what is not there
// gives fs.ErrNotExist.
type Tree interface {
	ReadFile(name string) ([]byte, error)
}

// places are the directories of the database: RPM's own, and that of systems whose
// /var does not belong to the OS.
var places = []string{"usr/lib/sysimage/rpm", "var/lib/rpm"}

// forms are the files that a database may be in, the newest form first, each with
// what calls do for every header in it.
var forms = []struct {
	name string
	each func(data []byte, do func(header []byte) error) error
}{
	{"rpmdb.sqlite", eachSQLite},
	{"Packages.db", eachNDB},
	{"Packages", eachBDB},
}

// UnreadableError is a database that cannot be read.
type UnreadableError struct {
	Name string // of the file
	Err  error
}

func (e *UnreadableError) Error() string { return fmt.Sprintf("read %s: %v", e.Name, e.Err) }

// Unwrap returns the reason.
func (e *UnreadableError) Unwrap() error { return e.Err }

// Read returns the packages installed, sorted by name. A tree without a database has none.
func Read(tree Tree) ([]Package, error) {
	for _, dir := range places {
		for _, form := range forms {
			name := path.Join(dir, form.name)
			data, err := tree.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if log, logErr := tree.ReadFile(name + "-wal"); err == nil && logErr == nil && len(log) > 0 {
				err = fmt.Errorf("changes in %s-wal are not in it", form.name)
			}
			var packages []Package
			if err == nil {
				packages, err = parse(data, form.each)
			}
			if err != nil {
				return nil, &UnreadableError{name, err}
			}
			return packages, nil
		}
	}
	return nil, nil
}

// keys are packages in name only: RPM lists the public keys that it trusts as such.
const keys = "gpg-pubkey"

// parse reads the packages of a database. Their headers do not share a byte: all of them
// together are no longer than the database.
func parse(data []byte, each func([]byte, func([]byte) error) error) ([]Package, error) {
	var packages []Package
	left := len(data)
	err := each(data, func(header []byte) error {
		if left -= len(header); left < 0 {
			return errors.New("the headers are longer than the database: some are there twice")
		}
		p, err := parseHeader(header)
		if err == nil && p.Name != keys {
			packages = append(packages, p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(packages, func(a, b Package) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Architecture, b.Architecture))
	})
	return packages, nil
}
