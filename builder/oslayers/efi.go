package oslayers

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/hint"
)

// efiPrograms are EFI programs for x86-64, each of one C file of the layer's
// folder, with the entry point efi_main: path in the layer → C file.
//
// The linker makes the PE file of the compiler's ELF object. There is no C
// library in it, no start-up code and no relocation: the compiler reaches all
// its constants relative to the instruction, so that the program runs wherever
// the firmware loads it.
type efiPrograms struct {
	dir  string // of the layer
	from map[string]string
}

// compilerFlags: no library, no red zone (firmware's interrupts use the stack),
// only general registers, char16 strings, and nothing that names the host.
var compilerFlags = []string{
	"-std=c11", "-Wall", "-Wextra", "-Werror", "-Os", "-c",
	"-ffreestanding", "-fpie", "-fshort-wchar", "-mno-red-zone", "-mgeneral-regs-only",
	"-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-fno-ident",
}

// linkerFlags: an EFI application (UEFI 2.10, 2.1.1: subsystem 10) without a time.
var linkerFlags = []string{"-m", "i386pep", "--subsystem", "10", "--no-insert-timestamp", "--strip-all"}

// linkerScript leaves two sections: code, and constants. A program with writable
// data is refused: its section is not placed.
const linkerScript = `ENTRY(efi_main)
SECTIONS
{
  .text __image_base__ + __section_alignment__ : { *(.text .text.*) }
  .rdata ALIGN(__section_alignment__) : { *(.rodata .rodata.*) }
  /DISCARD/ : { *(.note.* .comment) }
}
ASSERT(SIZEOF(.data) + SIZEOF(.bss) == 0, "the program has writable data")
`

func (e efiPrograms) inputs(ctx context.Context, _ *build) ([]string, error) {
	var inputs []string
	if len(e.from) > 0 {
		for _, tool := range []string{"gcc", "ld"} {
			version, err := runTool(ctx, "", tool, "--version")
			if err != nil {
				return nil, err
			}
			inputs = append(inputs, version)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(e.from)) {
		digest, err := digestFile(filepath.Join(e.dir, e.from[path]))
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, path+" "+digest)
	}
	return inputs, nil
}

func (e efiPrograms) apply(ctx context.Context, b *build, l *layer) error {
	for _, path := range slices.Sorted(maps.Keys(e.from)) {
		program, err := e.compile(ctx, b.work, e.from[path])
		if err != nil {
			return fmt.Errorf("%s: %w", e.from[path], err)
		}
		if err := l.files.add(path, regular(plain, program)); err != nil {
			return err
		}
	}
	return nil
}

// compile runs in the layer's folder, so that no path of the host gets in.
func (e efiPrograms) compile(ctx context.Context, work, source string) ([]byte, error) {
	work, err := os.MkdirTemp(work, "efi-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	script, object, program := filepath.Join(work, "script"), filepath.Join(work, "object"), filepath.Join(work, "program")
	if err := os.WriteFile(script, []byte(linkerScript), 0o600); err != nil {
		return nil, err
	}
	if _, err := runTool(ctx, e.dir, "gcc", append(slices.Clone(compilerFlags), "-o", object, source)...); err != nil {
		return nil, err
	}
	if _, err := runTool(ctx, e.dir, "ld", append(slices.Clone(linkerFlags), "-T", script, "-o", program, object)...); err != nil {
		return nil, err
	}
	return os.ReadFile(program)
}

// runTool runs a tool in a directory and returns what it prints.
func runTool(ctx context.Context, dir, name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", hint.Add(fmt.Errorf("%s is not installed", name), "scripts/setup installs what building takes")
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Stderr = dir, &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run %s: %w\n%s", name, err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
