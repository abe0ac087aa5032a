package qemu

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ketch-os/ketch/internal/testkit"
)

func TestProbe(t *testing.T) {
	testkit.Tool(t, "qemu-system-x86_64")
	// TCG executes the same program that KVM is probed with.
	if err := probe(t.Context(), "tcg", "max"); err != nil {
		t.Fatalf("probe(tcg) = %v; want the guest to answer", err)
	}
}

// TestDoesNotLinger kills a program that has started a machine: that ends too.
func TestDoesNotLinger(t *testing.T) {
	if os.Getenv("QEMU_TEST_STARTER") != "" {
		vm, err := Start(t.Context(), Options{Accel: "tcg"})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("started %d\n", vm.cmd.Process.Pid)
		select {}
	}
	testkit.Tool(t, "qemu-system-x86_64")
	starter := exec.Command(os.Args[0], "-test.run=^TestDoesNotLinger$")
	starter.Env = append(os.Environ(), "QEMU_TEST_STARTER=1", "TMPDIR="+t.TempDir())
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
	for deadline := time.Now().Add(time.Minute); !gone(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("QEMU, process %d, outlives its starter", pid)
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got, err := c.WaitLine(ctx, "runtime-ready"); got != "ketch: runtime-ready in 1.9 s" || err != nil {
		t.Errorf("WaitLine = %q, %v", got, err)
	}
	// An unfinished line is not a line.
	if got, err := c.WaitLine(ctx, "more"); err == nil {
		t.Errorf("WaitLine(more) = %q; want ErrEnded", got)
	}
}
