package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/cavaliergopher/cpio"

	"ketch/builder/image"
	"ketch/builder/qemu"
	"ketch/efi/uki"
	"ketch/layout"
	"ketch/layout/status"
)

// limit bounds one boot; counting instructions is slow.
const limit = 5 * time.Minute

// boot measures the image's boot and that of its kernel alone, by icount.
func boot(ctx context.Context, path string) ([]Figure, error) {
	empty, err := emptyBoot(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("kernel alone: %w", err)
	}
	times, err := timeline(ctx, path, qemu.Options{Icount: true, Memory: 512})
	if err != nil {
		return nil, err
	}
	pid1, ready := float64(times.PID1Usec)/1e6, float64(times.ReadyUsec)/1e6
	return []Figure{
		{"kernel start to an empty PID 1", empty, "s", "", "icount, QEMU -kernel"},
		{"kernel start to PID 1", pid1, "s", "≤ 0.80", "icount, UEFI"},
		{"kernel start to runtime-ready", ready, "s", "", "icount, first boot (makes /var)"},
		{"runtime-ready ÷ empty PID 1", ready / empty, "×", "≤ 1.5", "icount"},
	}, nil
}

func memory(ctx context.Context, path string) ([]Figure, error) {
	times, err := timeline(ctx, path, qemu.Options{Memory: 512})
	if err != nil {
		return nil, err
	}
	if times.Memory == nil {
		return nil, fmt.Errorf("%s tells nothing of memory", layout.BootTimeline)
	}
	used := 512 - float64(times.Memory.AvailableKiB)/1024
	return []Figure{{"memory in use at runtime-ready", used, "MiB", "≤ 80", "512 MiB − MemAvailable"}}, nil
}

// timeline boots a copy of the image and reads its timeline.
func timeline(ctx context.Context, path string, o qemu.Options) (*status.Boot, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "ketch-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	o.Image = filepath.Join(dir, "disk.raw")
	if err := qemu.Copy(o.Image, path, 0); err != nil {
		return nil, err
	}
	vm, err := qemu.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	defer vm.Stop()
	if _, err := vm.Console.WaitLine(ctx, layout.ConsolePrefix+layout.SayGood); err != nil {
		return nil, fmt.Errorf("%w; the console ends with %q", err, tail(vm.Console.String()))
	}
	text, err := vm.Shell(ctx, "cat "+layout.BootTimeline)
	if err != nil {
		return nil, err
	}
	var times status.Boot
	return &times, json.Unmarshal([]byte(text), &times)
}

func tail(s string) string { return s[max(0, len(s)-400):] }

var emptyLine = regexp.MustCompile(`empty PID 1 after (\d+) us`)

// emptyBoot starts the image's kernel with its command line and an initramfs
// that holds nothing but emptyinit, and returns the seconds to PID 1.
func emptyBoot(ctx context.Context, path string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "ketch-bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	o, err := emptyMachine(ctx, path, dir)
	if err != nil {
		return 0, err
	}
	vm, err := qemu.Start(ctx, *o)
	if err != nil {
		return 0, err
	}
	defer vm.Stop()
	line, err := vm.Console.WaitLine(ctx, "empty PID 1 after")
	if err != nil {
		return 0, fmt.Errorf("%w; the console ends with %q", err, tail(vm.Console.String()))
	}
	usec, err := strconv.ParseFloat(emptyLine.FindStringSubmatch(line)[1], 64)
	return usec / 1e6, err
}

func emptyMachine(ctx context.Context, path, dir string) (*qemu.Options, error) {
	kernel, cmdline, err := kernelOf(path)
	if err != nil {
		return nil, err
	}
	initrd, err := emptyInitramfs(ctx, dir)
	if err != nil {
		return nil, err
	}
	o := &qemu.Options{Icount: true, Kernel: filepath.Join(dir, "vmlinuz"), Initrd: filepath.Join(dir, "initrd"), Cmdline: cmdline}
	if err := os.WriteFile(o.Kernel, kernel, 0o666); err != nil {
		return nil, err
	}
	return o, os.WriteFile(o.Initrd, initrd, 0o666)
}

func kernelOf(path string) (kernel []byte, cmdline string, err error) {
	d, err := image.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer d.Close()
	entries, err := d.Entries()
	if err != nil || len(entries) == 0 {
		return nil, "", fmt.Errorf("%s: no boot entry: %w", path, err)
	}
	sections, err := uki.Parse(entries[0].Data)
	if err != nil {
		return nil, "", err
	}
	return sections.Linux, entries[0].Cmdline, nil
}

func emptyInitramfs(ctx context.Context, dir string) ([]byte, error) {
	program := filepath.Join(dir, "emptyinit")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", program, "ketch/qemu-tests/bench/emptyinit")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build emptyinit: %w: %s", err, out)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := cpio.NewWriter(&archive)
	if err := w.WriteHeader(&cpio.Header{Name: "init", Mode: cpio.TypeReg | 0o755, Size: int64(len(data)), Links: 1}); err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
		return nil, err
	}
	return archive.Bytes(), w.Close()
}
