package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/internal/testkit"
)

func TestProbe(t *testing.T) {
	testkit.Tool(t, "qemu-system-x86_64")
	// TCG executes the same program that KVM is probed with.
	if err := probe(t.Context(), "tcg", "max"); err != nil {
		t.Fatalf("probe(tcg) = %v; want the guest to answer", err)
	}
}

// A machine's disk has the sectors that its image is made for.
func TestSectors(t *testing.T) {
	for sectorSize, want := range map[int64]string{0: "", 512: "", 4096: ",logical_block_size=4096,physical_block_size=4096"} {
		path := filepath.Join(t.TempDir(), "disk.raw")
		f, err := os.Create(path)
		if err == nil {
			err = f.Truncate(1 << 20)
		}
		if err == nil && sectorSize > 0 {
			table := gpt.Table{DiskID: gpt.GUID{1}, SectorSize: sectorSize, Sectors: uint64(1 << 20 / sectorSize)}
			err = table.Write(f)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if got := sectors(path); got != want {
			t.Errorf("sectors of an image for %d bytes = %q; want %q", sectorSize, got, want)
		}
	}
}

// TestDoesNotLinger kills a program that has started a machine, with the console
// recorded and on the terminal: the machine ends, too, and gives up its disk.
func TestDoesNotLinger(t *testing.T) {
	if how := os.Getenv("QEMU_TEST_STARTER"); how != "" {
		startForever(t, how)
	}
	testkit.Tool(t, "qemu-system-x86_64")
	for _, how := range []string{"recorded", "interactive"} {
		t.Run(how, func(t *testing.T) {
			disk := filepath.Join(t.TempDir(), "disk.raw")
			if err := os.WriteFile(disk, make([]byte, 1<<20), 0o644); err != nil {
				t.Fatal(err)
			}
			starter := exec.Command(os.Args[0], "-test.run=^TestDoesNotLinger$")
			starter.Env = append(os.Environ(), "QEMU_TEST_STARTER="+how, "QEMU_TEST_DISK="+disk, "TMPDIR="+t.TempDir())
			out, err := starter.StdoutPipe()
			if err == nil {
				err = starter.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			var pid int
			if _, err := fmt.Fscanf(out, "started %d\n", &pid); err != nil {
				t.Fatal(err)
			}
			_ = starter.Process.Kill()
			_ = starter.Wait()
			gone := func() bool { return syscall.Kill(pid, 0) != nil || isZombie(pid) }
			t.Cleanup(func() {
				if t.Failed() {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			})
			testkit.Eventually(t, "the end of QEMU after its starter's", gone)
			f, err := os.OpenFile(disk, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
			if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
				t.Errorf("the disk is still locked: %v", err)
			}
		})
	}
}

// startForever starts a machine, says so and waits for its own end.
func startForever(t *testing.T, how string) {
	o := Options{Accel: "tcg", Image: os.Getenv("QEMU_TEST_DISK")}
	if how == "interactive" {
		o.Interactive = io.Discard
	}
	vm, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("started %d\n", vm.cmd.Process.Pid)
	select {}
}

// TestNetwork: a machine reaches nothing unless it is asked for.
func TestNetwork(t *testing.T) {
	for network, want := range map[string]string{
		"":                "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:80-:81",
		NetworkRestricted: "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:80-:81",
		NetworkUser:       "user,id=net,hostfwd=tcp:127.0.0.1:80-:81",
		NetworkNone:       "",
	} {
		got := ""
		if args := (Options{Network: network, Ports: []Forward{{80, 81}}}).network(); len(args) > 1 {
			got = args[1]
		}
		if got != want {
			t.Errorf("network %q: -netdev %q; want %q", network, got, want)
		}
	}
}

// isZombie: where nobody collects orphans, a dead one stays.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}

func TestParseForward(t *testing.T) {
	for in, want := range map[string]Forward{"8080:80": {8080, 80}, "1:65535": {1, 65535}} {
		if got, err := ParseForward(in); err != nil || got != want {
			t.Errorf("ParseForward(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "80", "80:", ":80", "0:80", "80:65536", "a:b", "1:2:3"} {
		if got, err := ParseForward(in); err == nil {
			t.Errorf("ParseForward(%q) = %v; want an error", in, got)
		}
	}
}

func TestCopy(t *testing.T) {
	const size = 64 << 20
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	f, err := os.Create(from)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("ketch"), 10000)
	for _, at := range []int64{0, 10 << 20, size - int64(len(data))} {
		if _, err := f.WriteAt(data, at); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	if err := Copy(to, from, 2*size); err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile(from)
	got, err := os.ReadFile(to)
	if err != nil || len(got) != 2*size || !bytes.Equal(got[:size], want) {
		t.Errorf("Copy: got %d bytes, same start %v, %v; want %d bytes that start as the source", len(got), bytes.Equal(got[:min(len(got), size)], want), err, 2*size)
	}
}

func TestConsoleWaitLine(t *testing.T) {
	c := newConsole()
	go func() {
		for _, part := range []string{"ketch: ru", "ntime-ready in 1.9 s", "\r\nmore"} {
			time.Sleep(time.Millisecond)
			_, _ = c.Write([]byte(part))
		}
		c.close()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.HangLimit)
	defer cancel()
	if got, err := c.WaitLine(ctx, "runtime-ready"); got != "ketch: runtime-ready in 1.9 s" || err != nil {
		t.Errorf("WaitLine = %q, %v", got, err)
	}
	// An unfinished line is not a line.
	if got, err := c.WaitLine(ctx, "more"); err == nil {
		t.Errorf("WaitLine(more) = %q; want ErrEnded", got)
	}
}

// FuzzParseForward: what is taken is two ports, written as they were.
func FuzzParseForward(f *testing.F) {
	for _, text := range []string{"8080:80", "1:65535", "0:1", "a:b", "1:2:3", "+1:2", "01:2"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseForward(text)
		if err == nil && (got.Host < 1 || got.Host > 65535 || got.Guest < 1 || got.Guest > 65535) {
			t.Errorf("ParseForward(%q) = %+v", text, got)
		}
	})
}
