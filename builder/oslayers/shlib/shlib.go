// Package shlib finds the shared libraries that a set of ELF files needs, among
// the files of a tree that is not the host's: what ld.so(8) would load there.
//
// It follows PT_INTERP and DT_NEEDED (System V ABI, chapter 5), and searches
// DT_RUNPATH or DT_RPATH with $ORIGIN, then the multi-arch and plain library
// directories of a merged /usr. Left out: what a program opens by itself with
// dlopen(3), ld.so.cache and glibc-hwcaps.
package shlib

import (
	"bytes"
	"debug/elf"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Open returns the content of the regular file at a path of the tree, links
// followed; false where there is none.
type Open func(path string) ([]byte, bool, error)

// systemDirs is where ld.so of Debian amd64 looks at last.
var systemDirs = [...]string{"usr/lib/x86_64-linux-gnu", "usr/lib"}

// Closure returns the paths of all libraries and interpreters that the files
// need, directly or through each other, sorted; the files themselves only
// where another needs them. Files that are not ELF are passed over.
func Closure(files []string, open Open) ([]string, error) {
	found := map[string]bool{}
	queue := slices.Clone(files)
	for len(queue) > 0 {
		file := queue[0]
		queue = queue[1:]
		needed, err := resolve(file, open)
		if err != nil {
			return nil, err
		}
		for _, library := range needed {
			if !found[library] {
				found[library] = true
				queue = append(queue, library)
			}
		}
	}
	paths := make([]string, 0, len(found))
	for p := range found {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths, nil
}

// resolve returns where each direct dependency of one file is.
func resolve(file string, open Open) ([]string, error) {
	content, ok, err := open(file)
	if err != nil || !ok {
		return nil, err
	}
	if !bytes.HasPrefix(content, []byte(elf.ELFMAG)) {
		return nil, nil
	}
	object, err := Inspect(content)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", file, err)
	}
	var paths []string
	if object.Interpreter != "" {
		interpreter := merged(object.Interpreter)
		if _, ok, err := open(interpreter); err != nil || !ok {
			return nil, missing(file, object.Interpreter, err)
		}
		paths = append(paths, interpreter)
	}
	dirs := object.searchDirs(path.Dir(file))
	for _, name := range object.Needed {
		library, err := search(name, dirs, open)
		if err != nil || library == "" {
			return nil, missing(file, name, err)
		}
		paths = append(paths, library)
	}
	return paths, nil
}

func missing(file, name string, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("resolve libraries of %s: no package has %s", file, name)
}

func search(name string, dirs []string, open Open) (string, error) {
	if strings.Contains(name, "/") { // a path is taken as it stands
		dirs, name = []string{path.Dir(merged(name))}, path.Base(name)
	}
	for _, dir := range dirs {
		candidate := path.Join(dir, name)
		if _, ok, err := open(candidate); err != nil || ok {
			return candidate, err
		}
	}
	return "", nil
}

// merged maps an absolute path of the running system to its place under usr/.
func merged(name string) string {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if first, _, _ := strings.Cut(name, "/"); first == "lib" || first == "lib64" {
		return "usr/" + name
	}
	return name
}

// Object is what one ELF file asks of the loader.
type Object struct {
	Interpreter string   // PT_INTERP; "" in a library and in a static program
	Needed      []string // DT_NEEDED, in order
	Runpath     []string // DT_RUNPATH, or DT_RPATH where that is missing
}

// Static tells whether the file runs without any other.
func (o *Object) Static() bool { return o.Interpreter == "" && len(o.Needed) == 0 }

// Inspect reads an x86-64 ELF file.
func Inspect(content []byte) (*Object, error) {
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 {
		return nil, fmt.Errorf("it is for %s %s, not for x86-64", f.Class, f.Machine)
	}
	object := &Object{}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		if p.Filesz > 4096 { // PATH_MAX
			return nil, fmt.Errorf("the interpreter's name has %d bytes", p.Filesz)
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return nil, fmt.Errorf("read PT_INTERP: %w", err)
		}
		object.Interpreter = string(bytes.TrimRight(name, "\x00"))
	}
	if f.SectionByType(elf.SHT_DYNAMIC) == nil {
		return object, nil
	}
	if object.Needed, err = f.DynString(elf.DT_NEEDED); err != nil {
		return nil, err
	}
	object.Runpath, err = runpath(f)
	return object, err
}

func runpath(f *elf.File) ([]string, error) {
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		entries, err := f.DynString(tag)
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			return strings.Split(entries[0], ":"), nil
		}
	}
	return nil, nil
}

// searchDirs is the search path of an object that lies in origin.
func (o *Object) searchDirs(origin string) []string {
	var dirs []string
	for _, dir := range o.Runpath {
		dir = strings.NewReplacer("$ORIGIN", "/"+origin, "${ORIGIN}", "/"+origin).Replace(dir)
		if dir != "" {
			dirs = append(dirs, merged(dir))
		}
	}
	return append(dirs, systemDirs[:]...)
}
