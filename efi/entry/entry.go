// Package entry names boot entries: the files of EFI/Linux on the ESP, with their
// boot counters (UAPI.1, Boot Loader Specification, "Boot counting"), and puts them
// in the order in which systemd-boot tries them.
//
// The order is by name alone: all entries of Ketch have the same sort key and no
// machine ID, and the version inside an entry, by which systemd-boot sorts before
// it looks at the name, is that of the name.
package entry

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	suffix = ".efi"
	// maxName is what a long name on FAT takes.
	maxName = 255
	// maxDigits keeps a counter well within an int.
	maxDigits = 9
)

// Name is the name of a boot entry.
type Name struct {
	ID      string // without counter and suffix: layout.EntryID(version)
	Counted bool   // not known to be good: Left and Done apply
	Left    int    // tries left; at 0 the entry is bad
	Done    int    // tries made
}

// Parse reads the file name of an entry: ID.efi, ID+LEFT.efi or ID+LEFT-DONE.efi.
func Parse(file string) (Name, error) {
	name, err := parse(file)
	if err != nil {
		return Name{}, fmt.Errorf("parse boot entry name %q: %w", file, err)
	}
	return name, nil
}

func parse(file string) (Name, error) {
	base, ok := strings.CutSuffix(file, suffix)
	if !ok {
		return Name{}, errors.New("does not end in " + suffix)
	}
	name := Name{ID: base}
	if id, counter, found := cutLast(base, "+"); found && !startsWithLetter(counter) {
		left, done, ok := parseCounter(counter)
		if !ok {
			return Name{}, fmt.Errorf("has a malformed counter +%s", counter)
		}
		name = Name{id, true, left, done}
	}
	if len(file) > maxName {
		return Name{}, fmt.Errorf("is longer than %d characters", maxName)
	}
	return name, name.Validate()
}

// Validate checks that File gives a name that Parse reads as the same entry.
func (n Name) Validate() error {
	switch {
	case n.ID == "":
		return errors.New("has no ID")
	case n.ID[0] == '.':
		return errors.New("starts with a dot: boot loaders pass over it")
	case strings.ContainsFunc(n.ID, foreign):
		return errors.New("has a character other than A-Z a-z 0-9 . + _ -")
	case !n.Counted && (n.Left != 0 || n.Done != 0):
		return errors.New("has tries and no counter")
	case n.Left < 0 || n.Done < 0 || len(strconv.Itoa(max(n.Left, n.Done))) > maxDigits:
		return fmt.Errorf("has an impossible counter %d-%d", n.Left, n.Done)
	}
	// Without its own counter the ID's end would be taken for one.
	if _, end, found := cutLast(n.ID, "+"); found && !startsWithLetter(end) {
		return fmt.Errorf("has an ID that itself ends like a counter: +%s", end)
	}
	if len(n.File()) > maxName {
		return fmt.Errorf("is longer than %d characters", maxName)
	}
	return nil
}

// File is the name of the file. Each try moves one from Left to Done, and both
// always have as many digits as their sum: the name keeps its length for as long
// as there are tries left, so that renaming it on FAT is one write.
func (n Name) File() string {
	if !n.Counted {
		return n.ID + suffix
	}
	width := len(strconv.Itoa(n.Left + n.Done))
	return fmt.Sprintf("%s+%0*d-%0*d%s", n.ID, width, n.Left, width, n.Done, suffix)
}

// Good is the name under which the entry has proved itself: without a counter.
func (n Name) Good() Name { return Name{ID: n.ID} }

// Failed is the name under which the entry has used up its tries. The number of
// them decides the width; see File.
func (n Name) Failed(tries int) Name { return Name{n.ID, true, 0, tries} }

// Bad reports whether the entry has used up its tries.
func (n Name) Bad() bool { return n.Counted && n.Left == 0 }

// Order compares two entries the way systemd-boot 252 sorts them: negative when a
// is tried before b. Bad ones come last; then the newer version comes first; of one
// version the greater file name, by Compare, counter and all: more tries left first.
func Order(a, b Name) int {
	switch {
	case a.Bad() && !b.Bad():
		return 1
	case b.Bad() && !a.Bad():
		return -1
	}
	return -cmp.Or(Compare(a.ID, b.ID), Compare(a.File(), b.File()))
}

// parseCounter reads LEFT or LEFT-DONE.
func parseCounter(s string) (left, done int, ok bool) {
	leftText, doneText, hasDone := strings.Cut(s, "-")
	left, ok = parseNumber(leftText)
	if !ok || !hasDone {
		return left, 0, ok
	}
	done, ok = parseNumber(doneText)
	return left, done, ok
}

// parseNumber reads digits and nothing else.
func parseNumber(s string) (int, bool) {
	if s == "" || len(s) > maxDigits || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// startsWithLetter tells a "+" that belongs to a version ("1.0+git5") from one
// that starts a counter. systemd-boot is more lenient: it takes a malformed
// counter for a part of the ID, and so an entry that never proved itself for a
// good one. Such names are refused here.
func startsWithLetter(s string) bool { return s != "" && letter(rune(s[0])) }

// cutLast slices s around its last separator.
func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

func foreign(r rune) bool {
	return !digit(r) && !letter(r) && !strings.ContainsRune("+-_.", r)
}
