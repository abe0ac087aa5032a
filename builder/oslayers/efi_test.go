package oslayers

import (
	"bytes"
	"context"
	"debug/pe"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
)

// compileEFI compiles a source in a folder of its own.
func compileEFI(t *testing.T, source string) ([]byte, error) {
	t.Helper()
	testkit.Tool(t, "gcc")
	testkit.Tool(t, "ld")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "program.c"), []byte(source), 0o666); err != nil {
		t.Fatal(err)
	}
	return efiPrograms{dir: dir}.compile(context.Background(), t.TempDir(), "program.c")
}

func TestCompileGuard(t *testing.T) {
	source, err := os.ReadFile("../../rootfs/kernel/guard.c")
	if err != nil {
		t.Fatal(err)
	}
	program, err := compileEFI(t, string(source))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := compileEFI(t, string(source)); err != nil || !bytes.Equal(program, again) {
		t.Errorf("compiled in another folder the program has other bytes: %v", err)
	}
	f, err := pe.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	header := f.OptionalHeader.(*pe.OptionalHeader64)
	const efiApplication = 10
	if f.Machine != pe.IMAGE_FILE_MACHINE_AMD64 || header.Subsystem != efiApplication || f.TimeDateStamp != 0 {
		t.Errorf("machine %#x, subsystem %d, time %d; want %#x, %d, 0", f.Machine, header.Subsystem, f.TimeDateStamp, pe.IMAGE_FILE_MACHINE_AMD64, efiApplication)
	}
	if text := f.Section(".text"); text == nil || header.AddressOfEntryPoint < text.VirtualAddress || header.AddressOfEntryPoint >= text.VirtualAddress+text.VirtualSize {
		t.Errorf("the entry point %#x is not in .text: %+v", header.AddressOfEntryPoint, text)
	}
	// It runs wherever it is loaded, so it must not be refused for want of relocations.
	if f.Characteristics&pe.IMAGE_FILE_RELOCS_STRIPPED != 0 || header.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_BASERELOC].Size != 0 {
		t.Errorf("characteristics %#x, %d bytes of relocations; want none, and none needed", f.Characteristics, header.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_BASERELOC].Size)
	}
	if host, err := os.Getwd(); err != nil || bytes.Contains(program, []byte(host)) {
		t.Errorf("the program names the host's folder: %v", err)
	}
}

// What does not fit the two sections, or the compiler's taste, is refused.
func TestCompileRefuses(t *testing.T) {
	for want, source := range map[string]string{
		"writable data":    "int counter = 1;\nint efi_main(void) { return counter++; }\n",
		"unused":           "int efi_main(void) { int x; return 0; }\n",
		"missing_function": "void missing_function(void);\nint efi_main(void) { missing_function(); return 0; }\n",
	} {
		if _, err := compileEFI(t, source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("compile %q = %v; want an error with %q", source, err, want)
		}
	}
}

// objdump reads the file as what it is meant to be.
func TestCompileAgainstObjdump(t *testing.T) {
	program, err := compileEFI(t, "int efi_main(void) { return 0; }\n")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "program.efi")
	if err := os.WriteFile(path, program, 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(testkit.Tool(t, "objdump"), "-p", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "pei-x86-64") || !strings.Contains(string(out), "(EFI application)") {
		t.Errorf("objdump -p: %v\n%s", err, out)
	}
}
