// Package compare tells what differs between two images: their packages, their
// files, their sizes, and what they boot with. It reads both disks where they
// are; nothing is mounted, nothing unpacked, nothing written.
//
// Compared are the newest version of the OS on each disk: its boot entry, its
// usr, and the files on the ESP. Left out: times of files, which say when a
// layer was made; signatures, but for whose they are; and what a machine makes
// itself, such as the state partition.
package compare

// Report is the differences between image A and image B.
type Report struct {
	A        Side      `json:"a"`
	B        Side      `json:"b"`
	Boot     []Value   `json:"boot,omitempty"`
	Packages []Package `json:"packages,omitempty"`
	Files    []File    `json:"files,omitempty"`
	// Basis is where the packages come from: "sbom", or "inventories" where an
	// image has no bill of materials.
	Basis string `json:"basis"`
}

// Side describes one of the images.
type Side struct {
	Path     string `json:"path"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	Platform string `json:"platform,omitempty"`
	RootHash string `json:"rootHash"`
	UsrSize  int64  `json:"usrSize"` // bytes of the usr file system
	Files    int    `json:"files"`   // names in it
}

// Value is something that both images have one of: "kernel", "command line".
type Value struct {
	Name string `json:"name"`
	A    string `json:"a,omitempty"`
	B    string `json:"b,omitempty"`
}

// Change is what happened on the way from A to B.
type Change string

// What can happen to a package or a file.
const (
	Added   Change = "added"
	Removed Change = "removed"
	Changed Change = "changed" // of a package: another version
	Rebuilt Change = "rebuilt" // of a package: the same version, other files
)

// Package is a package that differs.
type Package struct {
	Change Change   `json:"change"`
	Kind   string   `json:"kind"` // "deb", "golang", "oci"
	Name   string   `json:"name"`
	A      []string `json:"a,omitempty"` // versions: Go programs may use several of a module
	B      []string `json:"b,omitempty"`
	SizeA  int64    `json:"sizeA"` // bytes of the files known to be of the package
	SizeB  int64    `json:"sizeB"`
}

// File is a file that differs.
type File struct {
	Change Change  `json:"change"`
	Path   string  `json:"path"`           // "usr/bin/runc"
	What   []Value `json:"what,omitempty"` // of a change: "content", "mode", "owner", …
	SizeA  int64   `json:"sizeA"`          // bytes, of regular files
	SizeB  int64   `json:"sizeB"`
}

// Equal tells whether nothing differs.
func (r *Report) Equal() bool { return len(r.Boot)+len(r.Packages)+len(r.Files) == 0 }

// Images compares two images. What has to be unpacked of each becomes no larger than
// most, in bytes.
func Images(a, b string, most int64) (*Report, error) {
	sides, err := openBoth(a, b, most)
	if err != nil {
		return nil, err
	}
	defer sides[0].close()
	defer sides[1].close()
	return sides[0].compare(sides[1])
}

func openBoth(a, b string, most int64) (sides [2]*side, err error) {
	if sides[0], err = open(a, most); err != nil {
		return sides, err
	}
	if sides[1], err = open(b, most); err != nil {
		sides[0].close()
	}
	return sides, err
}

func (a *side) compare(b *side) (r *Report, err error) {
	r = &Report{A: a.summary(), B: b.summary()}
	if r.Boot, err = a.compareBoot(b); err != nil {
		return nil, err
	}
	if r.Files, err = a.compareFiles(b); err != nil {
		return nil, err
	}
	if r.Packages, r.Basis, err = a.comparePackages(b); err != nil {
		return nil, err
	}
	return r, nil
}
