package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/cavaliergopher/cpio"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/efi/uki"
	"github.com/ketch-os/ketch/layout"
)

// limit bounds one boot; counting instructions is slow.
const limit = 5 * time.Minute

// boot measures the image's boot and that of its kernel alone, by icount.
func boot(ctx context.Context, path string) ([]Figure, error) {
	dir, err := os.MkdirTemp("", "ketch-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	o, err := unpackUKI(path, dir)
	if err != nil {
		return nil, err
	}
	empty, err := emptyBoot(ctx, *o, dir)
	if err != nil {
		return nil, fmt.Errorf("kernel alone: %w", err)
	}
	times, err := timeline(ctx, path, *o)
	if err != nil {
		return nil, err
	}
	down, err := shutdown(ctx, path, *o)
	if err != nil {
		return nil, fmt.Errorf("shutdown: %w", err)
	}
	pid1, ready, good := float64(times.PID1Usec)/1e6, float64(times.ReadyUsec)/1e6, float64(times.GoodUsec)/1e6
	return []Figure{
		{"kernel start to an empty PID 1", empty, "s", "", "icount"},
		{"kernel start to PID 1", pid1, "s", "≤ 0.80", "icount"},
		{"kernel start to runtime-ready", ready, "s", "", "icount, first boot: makes /var"},
		{"runtime-ready ÷ empty PID 1", ready / empty, "×", "≤ 3 now, 1.5 in the end", "icount, first boot"},
		{"kernel start to a good boot", good, "s", "", "icount, first boot: imports the demo's image and starts it"},
		{"shutdown, from the order to the kernel's last word", down, "s", "", "icount; the demo runs, /var is mounted"},
	}, nil
}

// unpackUKI takes the image's kernel, initramfs and command line apart, to be
// started without firmware. idle=poll keeps the processor executing while it waits
// for a disk: without it QEMU's clock jumps to the next timer whenever it idles.
func unpackUKI(path, dir string) (*qemu.Options, error) {
	d, err := image.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.Entries()
	if err != nil || len(entries) == 0 {
		return nil, fmt.Errorf("%s: no boot entry: %w", path, err)
	}
	sections, err := uki.Parse(entries[0].Data)
	if err != nil {
		return nil, err
	}
	o := &qemu.Options{
		Icount: true, Kernel: filepath.Join(dir, "vmlinuz"), Initrd: filepath.Join(dir, "initrd"),
		Cmdline: entries[0].Cmdline + " idle=poll",
	}
	return o, errors.Join(os.WriteFile(o.Kernel, sections.Linux, 0o666), os.WriteFile(o.Initrd, sections.Initrd, 0o666))
}

// timeline boots a copy of the image and reads its timeline.
func timeline(ctx context.Context, path string, o qemu.Options) (*pid1.Boot, error) {
	return ask[pid1.Boot](ctx, path, o, "cat "+layout.BootTimeline)
}

// ask boots a copy of the image and reads what a command prints, which is JSON.
func ask[T any](ctx context.Context, path string, o qemu.Options, command string) (*T, error) {
	answer := new(T)
	return answer, booted(ctx, path, o, func(ctx context.Context, vm *qemu.VM) error {
		text, err := vm.Shell(ctx, command)
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(text), answer)
	})
}

// booted boots a copy of the image, waits until the boot is good, and lets do
// use the machine.
func booted(ctx context.Context, path string, o qemu.Options, do func(context.Context, *qemu.VM) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "ketch-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o.Image = filepath.Join(dir, "disk.raw")
	if err := qemu.Copy(o.Image, path, 0); err != nil {
		return err
	}
	vm, err := qemu.Start(ctx, o)
	if err != nil {
		return err
	}
	defer vm.Stop()
	if _, err := vm.Console.WaitLine(ctx, layout.ConsolePrefix+layout.SayGood); err != nil {
		return fmt.Errorf("%w; the console ends with %q", err, tail(vm.Console.String()))
	}
	return do(ctx, vm)
}

// shutdown returns the seconds from PID 1's word that the machine goes down to
// the kernel's that it is off.
func shutdown(ctx context.Context, path string, o qemu.Options) (seconds float64, err error) {
	err = booted(ctx, path, o, func(ctx context.Context, vm *qemu.VM) error {
		if _, err := vm.Console.WaitLine(ctx, "hello from a container"); err != nil {
			return err
		}
		vm.Shell(ctx, "poweroff") // the machine may be gone before the shell answers
		began, err := stamp(ctx, vm, layout.ConsolePrefix+layout.SayDown)
		if err != nil {
			return err
		}
		ended, err := stamp(ctx, vm, "reboot: Power down")
		seconds = ended - began
		return err
	})
	return seconds, err
}

var stampPattern = regexp.MustCompile(`\[ *(\d+\.\d+)\]`)

// stamp waits for a line of the kernel log and returns its time.
func stamp(ctx context.Context, vm *qemu.VM, part string) (float64, error) {
	line, err := vm.Console.WaitLine(ctx, part)
	if err != nil {
		return 0, fmt.Errorf("%w; the console ends with %q", err, tail(vm.Console.String()))
	}
	found := stampPattern.FindStringSubmatch(line)
	if found == nil {
		return 0, fmt.Errorf("%q has no time", line)
	}
	return strconv.ParseFloat(found[1], 64)
}

func tail(s string) string { return s[max(0, len(s)-400):] }

var emptyLine = regexp.MustCompile(`empty PID 1 after (\d+) us`)

// emptyBoot starts the kernel with an initramfs that holds nothing but
// emptyinit, and returns the seconds to PID 1.
func emptyBoot(ctx context.Context, o qemu.Options, dir string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	initrd, err := emptyInitramfs(ctx, dir)
	if err != nil {
		return 0, err
	}
	o.Initrd = filepath.Join(dir, "empty")
	if err := os.WriteFile(o.Initrd, initrd, 0o666); err != nil {
		return 0, err
	}
	vm, err := qemu.Start(ctx, o)
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

func emptyInitramfs(ctx context.Context, dir string) ([]byte, error) {
	program := filepath.Join(dir, "emptyinit")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", program, "github.com/ketch-os/ketch/qemu-tests/bench/emptyinit")
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
