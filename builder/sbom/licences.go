package sbom

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/ketch-os/ketch/builder/sbom/inventory"
	"github.com/ketch-os/ketch/builder/sbom/licence"
	"github.com/ketch-os/ketch/builder/tree"
)

// licences reads the copyright files in a tree.
type licences struct {
	tree  *tree.Tree
	refs  map[string]Extracted // licences without an SPDX identifier, by theirs
	known map[string]declared  // by the SHA-256 of the copyright file
}

// declared is what a package says about its licence.
type declared struct {
	expression string // NOASSERTION if it cannot be read
	comment    string
}

// maxCopyright bounds the copyright files that are read, in bytes.
const maxCopyright = 1 << 20

// debian reads the copyright file of a Debian package (Debian Policy 12.5).
func (l licences) debian(p inventory.Debian) (declared, error) {
	name := "usr/share/doc/" + p.Name + "/copyright"
	n := l.tree.Follow(name)
	switch {
	case n == nil && p.Licence != "":
		return declared{expression: stated(p.Licence)}, nil
	case n == nil && p.Copyright != "":
		if found, ok := licence.ByHand(p.Copyright); ok {
			return l.declare(found, ""), nil
		}
		return declared{noAssertion, "its copyright file has SHA-256 " + p.Copyright}, nil
	case n == nil || n.Type() != tree.TypeRegular:
		return declared{noAssertion, "the image has no copyright file of it"}, nil
	case n.Size > maxCopyright:
		return declared{noAssertion, fmt.Sprintf("its copyright file has %d bytes", n.Size)}, nil
	}
	text, err := l.tree.ReadFile(name)
	if err != nil {
		return declared{}, err
	}
	return l.read(string(text)), nil
}

func (l licences) read(text string) declared {
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	if known, ok := l.known[digest]; ok {
		return known
	}
	l.known[digest] = l.parse(text, digest)
	return l.known[digest]
}

func (l licences) parse(text, digest string) declared {
	if found, ok := licence.ByHand(digest); ok {
		return l.declare(found, text)
	}
	found, err := licence.Debian(text)
	switch {
	case errors.Is(err, licence.ErrNotMachineReadable):
		return declared{noAssertion, "its copyright file is prose, SHA-256 " + digest}
	case err != nil:
		return declared{noAssertion, fmt.Sprintf("its copyright file, SHA-256 %s, cannot be read: %v", digest, err)}
	}
	return l.declare(found, "")
}

// declare notes the licences without an identifier; whole is the text of those
// that have none of their own.
func (l licences) declare(found licence.Declared, whole string) declared {
	for _, ref := range found.Refs {
		text := cmp.Or(ref.Text, whole, l.refs[ref.ID].Text, noAssertion)
		l.refs[ref.ID] = Extracted{ref.ID, text, ref.Name}
	}
	return declared{found.Expression, "of the whole source package"}
}
