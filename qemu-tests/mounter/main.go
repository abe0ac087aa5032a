// Command mounter mounts file systems that somebody has crafted, one after the
// other, and uses them:
//
//	mounter CASES DEVICE
//
// CASES is a directory with a file cases.json, an array of crafted.Case, and the images that
// it names; DEVICE is a disk to write them to. Each is mounted as it is, and again
// after e2fsck -p, which is what PID 1 does with one that is not clean. It prints a
// line for each: its number, what became of it, its name. What it does not live
// through is the last one of which it has said that it begins.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/qemu-tests/crafted"
)

// limit is how long one file system may take.
const limit = time.Minute

// maxFiles is how many files of a tree are looked at: a crafted one may have no end.
const maxFiles = 1000

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mounter:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("want a directory of cases and a device")
	}
	text, err := os.ReadFile(filepath.Join(args[0], "cases.json"))
	if err != nil {
		return err
	}
	var cases []crafted.Case
	if err := json.Unmarshal(text, &cases); err != nil {
		return err
	}
	console, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer console.Close()
	for n, c := range cases {
		fmt.Fprintf(console, "<5>case %d: %s\n", n, c.Name)
		watch := time.AfterFunc(limit, func() {
			fmt.Fprintf(out, "%d hangs %s\n", n, c.Name)
			os.Exit(1)
		})
		first, second, err := try(c, args[0], args[1])
		watch.Stop()
		if err != nil {
			return fmt.Errorf("case %d, %s: %w", n, c.Name, err)
		}
		fmt.Fprintf(out, "%d %s, then %s: %s\n", n, first, second, c.Name)
	}
	return nil
}

// try writes a file system to a device and mounts it twice.
func try(c crafted.Case, dir, device string) (first, second string, err error) {
	image, err := os.ReadFile(filepath.Join(dir, c.Image))
	if err != nil {
		return "", "", err
	}
	for _, w := range c.Writes {
		copy(image[w.At:], w.Data)
	}
	if err := os.WriteFile(device, image, 0); err != nil {
		return "", "", err
	}
	if first, err = use(device); err != nil {
		return "", "", err
	}
	check := exec.Command("/usr/sbin/e2fsck", "-p", device)
	status := "checked"
	if err := check.Run(); check.ProcessState == nil {
		return "", "", err
	} else if code := check.ProcessState.ExitCode(); code&^3 != 0 {
		return first, fmt.Sprintf("not repaired (%d)", code), nil
	}
	second, err = use(device)
	return first, status + " and " + second, err
}

// use mounts a file system, looks at what is in it, writes to it, and unmounts it.
// Only what does not come back is an error.
func use(device string) (outcome string, err error) {
	mount, err := os.MkdirTemp("", "mounter")
	if err != nil {
		return "", err
	}
	defer os.Remove(mount)
	flags := uintptr(unix.MS_NODEV | unix.MS_NOSUID)
	if err := unix.Mount(device, mount, "ext4", flags, "errors=remount-ro"); err != nil {
		return fmt.Sprintf("refused (%v)", err), nil
	}
	faults := errors.Join(look(mount), scribble(mount))
	if err := unix.Unmount(mount, 0); err != nil {
		return "", fmt.Errorf("unmount: %w", err)
	}
	if faults != nil {
		return "mounted, with faults", nil
	}
	return "mounted", nil
}

func look(dir string) error {
	left := maxFiles
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if left--; left == 0 {
			return fs.SkipAll
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.CopyN(io.Discard, f, 1<<20)
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	})
}

func scribble(dir string) error {
	path := filepath.Join(dir, "a/b")
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(path, "file"))
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 64<<10))
	return errors.Join(err, f.Sync(), f.Close(), os.RemoveAll(filepath.Join(dir, "a")))
}
