// Package pstore reads what the kernel kept of its log over a crash
// (Documentation/ABI/testing/pstore): one file a record below Dir, in memory that
// survives a reset, mostly variables of the EFI firmware. Removing the file frees
// that memory.
//
// A backend's records are small, so the kernel cuts a dump into parts (pstore_dump
// in fs/pstore/platform.c). Each begins with a line of its own, "Panic#1 Part2";
// part 1 holds the newest lines of the log, part 2 those before it, and so on.
// Dumps puts them together again. Left out: records that are no dump of the log
// (console, ftrace, pmsg, firmware).
package pstore

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Dir is where pstore is mounted.
const Dir = "/sys/fs/pstore"

// maxRecord bounds a record in bytes. The kernel makes none larger than its log.
const maxRecord = 1 << 20

// Dump is the end of the kernel log at one moment.
type Dump struct {
	Why   string // the kernel's word for it: "Panic", "Oops", …; or Unknown
	Count int    // which dump of its boot it was, from 1
	Time  time.Time
	Text  string   // oldest line first
	Files []string // its records, the names of files in the directory
}

// Unknown is the reason of a record that does not begin as a part of a dump does:
// one that the kernel could not decompress. It is a dump by itself.
const Unknown = "Unknown"

// record is one part of a dump.
type record struct {
	name  string
	time  time.Time
	why   string
	count int
	part  int
	text  string
}

// Dumps reads the dumps of a directory, oldest first. What cannot be read is left
// out and told in the error; the dumps are good all the same. A directory that
// does not exist holds none.
func Dumps(dir string) ([]Dump, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var records []record
	faults := []error{err}
	for _, file := range files {
		if !strings.HasPrefix(file.Name(), "dmesg-") {
			continue
		}
		r, err := read(filepath.Join(dir, file.Name()))
		if err != nil {
			faults = append(faults, fmt.Errorf("read pstore record %s: %w", file.Name(), err))
			continue
		}
		records = append(records, r)
	}
	return join(records), errors.Join(faults...)
}

// read reads one file. Its time of modification is when the kernel wrote it.
func read(path string) (record, error) {
	f, err := os.Open(path)
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return record{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return record{}, err
	}
	r, err := parse(string(data))
	if err != nil {
		r = record{why: Unknown, text: string(data)}
	}
	r.name, r.time = info.Name(), moment(info.ModTime())
	return r, nil
}

// moment is the time of a record, which for EFI stands in its variable's name. A
// time that RFC 3339 cannot express becomes the beginning of 1970.
func moment(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 9999 {
		return time.Unix(0, 0)
	}
	return t.Local()
}

// parse takes a record apart: "Panic#1 Part2", a newline, lines of the log.
func parse(data string) (r record, err error) {
	header, text, _ := strings.Cut(data, "\n")
	why, numbers, ok := strings.Cut(header, "#")
	if !ok || !word(why) {
		return r, errors.New("it does not begin as a part of a dump does")
	}
	if _, err := fmt.Sscanf(numbers, "%d Part%d", &r.count, &r.part); err != nil || r.count < 1 || r.part < 1 {
		return r, fmt.Errorf("its first line is %.40q; want REASON#COUNT PartNUMBER", header)
	}
	r.why, r.text = why, text
	return r, nil
}

// maxWhy is how long a reason may be. The kernel's longest is "Emergency"
// (kmsg_dump_reason_str).
const maxWhy = 16

// word tells whether a reason is one as the kernel writes them. Whoever can write
// variables of the firmware chooses how a record begins, and the reason becomes
// part of a file's name.
func word(why string) bool {
	for _, char := range why {
		if !('A' <= char && char <= 'Z' || 'a' <= char && char <= 'z') {
			return false
		}
	}
	return why != "" && len(why) <= maxWhy
}

// join puts the parts of each dump together. The kernel writes them in the order
// of their numbers, each with its own time, and counts dumps from 1 in every
// boot: so a number that does not grow, or another count, begins a dump.
func join(records []record) (dumps []Dump) {
	slices.SortFunc(records, func(a, b record) int {
		return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.count, b.count), cmp.Compare(a.part, b.part))
	})
	for i, r := range records {
		if i == 0 || r.why != records[i-1].why || r.count != records[i-1].count || r.part <= records[i-1].part {
			dumps = append(dumps, Dump{Why: r.why, Count: r.count, Time: r.time})
		}
		d := &dumps[len(dumps)-1]
		d.Text = r.text + d.Text
		d.Files = append(d.Files, r.name)
	}
	return dumps
}

// Remove removes the records of a dump, which frees what they took.
func (d Dump) Remove(dir string) error {
	var faults []error
	for _, name := range d.Files {
		faults = append(faults, os.Remove(filepath.Join(dir, name)))
	}
	return errors.Join(faults...)
}
