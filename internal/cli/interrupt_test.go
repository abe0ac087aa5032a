package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// childMode makes the test's own program, started again, a command that is interrupted.
const childMode = "KETCH_TEST_INTERRUPT"

func TestMain(m *testing.M) {
	ctx, stop := Interruptible(context.Background())
	switch os.Getenv(childMode) {
	case "obeys":
		fmt.Println("ready")
		<-ctx.Done()
		stop()
		os.Exit(130)
	case "hangs":
		fmt.Println("ready")
		<-ctx.Done()
		fmt.Println("told")
		select {}
	}
	stop()
	os.Exit(m.Run())
}

// start starts the child and waits until it says that it is ready.
func start(t *testing.T, mode string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childMode+"="+mode)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	want(t, lines, "ready")
	return cmd, lines
}

func want(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	if !lines.Scan() || lines.Text() != text {
		t.Fatalf("the child says %q, %v; want %q", lines.Text(), lines.Err(), text)
	}
}

func ended(t *testing.T, cmd *exec.Cmd) syscall.WaitStatus {
	t.Helper()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatalf("Wait() = %v", err)
	}
	return exit.Sys().(syscall.WaitStatus)
}

func TestCommandThatObeys(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		cmd, _ := start(t, "obeys")
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if status := ended(t, cmd); status.ExitStatus() != 130 {
			t.Errorf("after %v: %v; want exit status 130", sig, status)
		}
	}
}

// A command that does not look at its context is ended all the same.
func TestCommandThatHangs(t *testing.T) {
	cmd, lines := start(t, "hangs")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	want(t, lines, "told")
	if status := ended(t, cmd); status.Signal() != syscall.SIGTERM {
		t.Errorf("status %v; want killed by %v", status, syscall.SIGTERM)
	}
}

// The second signal is not caught: what ended the child is that one.
func TestSecondSignal(t *testing.T) {
	cmd, lines := start(t, "hangs")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	want(t, lines, "told")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if status := ended(t, cmd); status.Signal() != syscall.SIGINT {
		t.Errorf("status %v; want killed by %v", status, syscall.SIGINT)
	}
}
