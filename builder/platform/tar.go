package platform

import (
	"errors"
	"fmt"

	"github.com/ketch-os/ketch/builder/diskfile"
	"github.com/ketch-os/ketch/builder/tree/tarfile"
)

const (
	magicGNU   = "ustar  \x00" // "oldgnu": magic and version in one
	typeSparse = 'S'
)

// oldGNU is the rule of platforms that read no other tar than GNU's of old: the
// first header is that of the file itself, with no extension before it.
func oldGNU(a *Artefact) (string, error) {
	if a.Tar == nil {
		return "", errNoTar
	}
	h := a.Tar.First
	switch {
	case h.Type == 'x', h.Type == 'g':
		return "", fmt.Errorf("byte 0: a PAX header (type %q); want tar --format=oldgnu", h.Type)
	case string(h.Magic[:]) != magicGNU:
		return "", fmt.Errorf("byte %d: magic %q; want %q, tar --format=oldgnu", diskfile.TarMagicAt, h.Magic, magicGNU)
	case h.Type != tarfile.TypeRegular && h.Type != typeSparse:
		return "", fmt.Errorf("byte 156: a member of type %q; want a file", h.Type)
	case h.Type == typeSparse:
		return "oldgnu, sparse", nil
	}
	return "oldgnu", nil
}

var errNoTar = errors.New("there is no tar archive")

// member is the rule that an archive holds one file, of that name.
func member(name string) func(*Artefact) (string, error) {
	return func(a *Artefact) (string, error) {
		if a.Tar == nil {
			return "", errNoTar
		}
		if len(a.Tar.Members) != 1 || a.Tar.Members[0] != name {
			return "", fmt.Errorf("members %q; want one, %q", a.Tar.Members, name)
		}
		return name, nil
	}
}
