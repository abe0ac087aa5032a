package shlib

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

// host opens files of the running system, a merged /usr.
func host(name string) ([]byte, bool, error) {
	content, err := os.ReadFile("/" + name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return nil, false, nil
	}
	return content, err == nil, err
}

// linked asks ldd, the reference, for the libraries of a program.
func linked(t *testing.T, program string) []string {
	t.Helper()
	output, err := exec.Command(testkit.Tool(t, "ldd"), program).Output()
	if err != nil {
		t.Fatalf("ldd %s: %v", program, err)
	}
	var paths []string
	for line := range strings.Lines(string(output)) {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "/") {
				paths = append(paths, canonical(t, merged(word)))
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func canonical(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks("/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(path, "/")
}

func TestClosureAgreesWithLdd(t *testing.T) {
	for _, name := range []string{"mke2fs", "bash", "tar", "gcc", "qemu-img"} {
		t.Run(name, func(t *testing.T) {
			program := canonical(t, strings.TrimPrefix(testkit.Tool(t, name), "/"))
			got, err := Closure([]string{program}, host)
			if err != nil {
				t.Fatalf("Closure(%s): %v", program, err)
			}
			for i := range got {
				got[i] = canonical(t, got[i])
			}
			slices.Sort(got)
			if diff := cmp.Diff(linked(t, "/"+program), slices.Compact(got)); diff != "" {
				t.Errorf("Closure(%s) differs from ldd (-ldd +ours):\n%s", program, diff)
			}
		})
	}
}

func TestClosureNamesWhatIsMissing(t *testing.T) {
	program := canonical(t, strings.TrimPrefix(testkit.Tool(t, "mke2fs"), "/"))
	for _, absent := range []string{"libext2fs.so.2", "libc.so.6", "ld-linux-x86-64.so.2"} {
		_, err := Closure([]string{program}, func(name string) ([]byte, bool, error) {
			if filepath.Base(name) == absent {
				return nil, false, nil
			}
			return host(name)
		})
		if err == nil || !strings.Contains(err.Error(), absent) {
			t.Errorf("Closure without %s: %v; want an error that names it", absent, err)
		}
	}
}

func TestClosurePassesOverOtherFiles(t *testing.T) {
	files := map[string]string{"usr/bin/script": "#!/bin/sh\n", "usr/empty": "", "usr/short": "\x7fEL"}
	open := func(name string) ([]byte, bool, error) {
		content, ok := files[name]
		return []byte(content), ok, nil
	}
	got, err := Closure([]string{"usr/bin/script", "usr/empty", "usr/short", "usr/gone"}, open)
	if err != nil || len(got) > 0 {
		t.Errorf("Closure = %q, %v; want nothing", got, err)
	}
}

func TestSearchDirs(t *testing.T) {
	o := Object{Runpath: []string{"$ORIGIN/../lib/private", "/lib/other", "", "${ORIGIN}"}}
	want := []string{"usr/lib/private", "usr/lib/other", "usr/bin", "usr/lib/x86_64-linux-gnu", "usr/lib"}
	if diff := cmp.Diff(want, o.searchDirs("usr/bin")); diff != "" {
		t.Errorf("searchDirs (-want +got):\n%s", diff)
	}
}

func TestInspect(t *testing.T) {
	for _, test := range []struct {
		name, file string
		static     bool
	}{
		{"dynamic", testkit.Tool(t, "mke2fs"), false},
		{"library", "/lib/x86_64-linux-gnu/libresolv.so.2", false},
	} {
		content, err := os.ReadFile(test.file)
		if err != nil {
			t.Fatal(err)
		}
		object, err := Inspect(content)
		if err != nil {
			t.Fatalf("Inspect(%s): %v", test.file, err)
		}
		if object.Static() != test.static {
			t.Errorf("Inspect(%s).Static() = %v; want %v", test.file, object.Static(), test.static)
		}
	}
	foreign := header(elf.EM_AARCH64)
	if _, err := Inspect(foreign); err == nil || !strings.Contains(err.Error(), "EM_AARCH64") {
		t.Errorf("Inspect(arm64) = %v; want an error that names the machine", err)
	}
}

// header is an ELF file without anything in it.
func header(machine elf.Machine) []byte {
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Ehsize: 64, Phentsize: 56, Shentsize: 64}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	binary.Write(&b, binary.LittleEndian, h)
	return b.Bytes()
}

func FuzzInspect(f *testing.F) {
	f.Add(header(elf.EM_X86_64))
	if content, err := os.ReadFile("/lib/x86_64-linux-gnu/libutil.so.1"); err == nil {
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		object, err := Inspect(content)
		if err == nil {
			object.searchDirs("usr/bin")
		}
	})
}
