package slot

import (
	"errors"
	"path"
	"strings"

	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/linux/efivar"
)

// Booted is the name of the booted entry's file, from what the loader tells in
// LoaderEntrySelected and LoaderBootCountPath; false where it does not tell.
func Booted(selected, countPath string) (entry.Name, bool) {
	file := selected
	if countPath != "" { // it has a name with one try less by now
		file = path.Base(strings.ReplaceAll(countPath, `\`, "/"))
	}
	name, err := entry.Parse(file)
	return name, err == nil
}

// Entries are the entries that the loader found at this start, in its order;
// none where it does not tell.
func Entries() ([]entry.Name, error) {
	files, err := efivar.LoaderList(efivar.LoaderEntries)
	if err != nil && !errors.Is(err, efivar.ErrNone) {
		return nil, err
	}
	return parse(files), nil
}

// parse leaves out what is no entry of Ketch.
func parse(files []string) (names []entry.Name) {
	for _, file := range files {
		if name, err := entry.Parse(file); err == nil {
			names = append(names, name)
		}
	}
	return names
}

// Same compares IDs as the loader does.
func Same(a, b string) bool { return strings.EqualFold(a, b) }

// Ask makes an entry that of the next start, and of that one only.
func Ask(next entry.Name) error {
	// The variable is a pattern to the loader; names have nothing special in them.
	return efivar.SetLoader(efivar.LoaderEntryOneShot, strings.ToLower(next.File()))
}
