package nstest

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/socket"
)

// TestMain is also the programs that PID 1 starts: they are this one under
// other names.
func TestMain(m *testing.M) {
	var err error
	switch filepath.Base(os.Args[0]) {
	case "stage":
		err = stage(os.Args[1], os.Args[2:])
	case "containerd":
		err = serve(layout.ContainerdSocket)
	case "ketchd":
		err = serve(layout.KetchdSocket)
	default:
		os.Exit(run(m))
	}
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}

// programs is the environment variable with the directory of what is built for
// all tests.
const programs = "NSTEST_PROGRAMS"

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ketch-nstest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv(programs, dir)
	return m.Run()
}

// serve answers over HTTP/1.1 and, as a gRPC server does, HTTP/2: all that
// readiness asks for. A request for /exit/N makes it end with status N.
func serve(path string) error {
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/exit/%d", &status); err == nil {
			os.Exit(status)
		}
		fmt.Fprintln(w, "{}") // the health gate: no further checks
	})}
	return server.Serve(l)
}

// instance is the real init in namespaces of its own.
type instance struct {
	t       *testing.T
	cmd     *exec.Cmd
	console *console
	group   string        // its control group, and all that it makes
	ended   chan struct{} // closed when it has ended
}

// start starts PID 1 among the usual programs and more: files, by their path.
func start(t *testing.T, more map[string]string) *instance {
	t.Helper()
	testkit.Root(t, "to map the users and make the control groups that PID 1 wants")
	dir := t.TempDir()
	p := &instance{t: t, console: openConsole(t, filepath.Join(dir, "kmsg")), ended: make(chan struct{})}
	program, err := builtInit()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"stage", dir, layout.InitPath + "=" + program}
	for to, from := range more {
		args = append(args, to+"="+from)
	}
	fd, group := controlGroup(t)
	p.group = group
	p.cmd = &exec.Cmd{Path: "/proc/self/exe", Args: args, Stdout: p.console, Stderr: p.console}
	everybody := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1 << 16}}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS |
			unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		UidMappings: everybody, GidMappings: everybody, GidMappingsEnableSetgroups: true,
		UseCgroupFD: true, CgroupFD: fd,
		Pdeathsig: unix.SIGKILL,
	}
	// The thread that starts it must outlive it: see prctl(2), PR_SET_PDEATHSIG.
	began := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer close(p.ended)
		err := p.cmd.Start()
		began <- err
		if err == nil {
			p.cmd.Wait()
		}
	}()
	if err := <-began; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.finish)
	return p
}

// boot starts PID 1 and waits until its boot is good.
func boot(t *testing.T, more map[string]string) *instance {
	t.Helper()
	p := start(t, more)
	p.waitLine(layout.ConsolePrefix + layout.SayGood)
	return p
}

func (p *instance) finish() {
	p.cmd.Process.Kill()
	<-p.ended
	for _, sign := range []string{"panic: ", "fatal error: ", layout.SayFatal} {
		if strings.Contains(p.console.String(), sign) {
			p.t.Errorf("PID 1 said %q", sign)
		}
	}
	if p.t.Failed() {
		p.t.Logf("PID 1 said:\n%s", p.console)
	}
}

// waitLine waits until PID 1 has said something.
func (p *instance) waitLine(part string) {
	p.t.Helper()
	p.waitFor(fmt.Sprintf("a line with %q", part), func() bool { return strings.Contains(p.console.String(), part) })
}

// waitFor waits until something holds.
func (p *instance) waitFor(what string, holds func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(testkit.HangLimit); !holds(); time.Sleep(5 * time.Millisecond) {
		if over := p.over(); over && !holds() || time.Now().After(deadline) {
			p.t.Fatalf("wait for %s: PID 1 ended: %v", what, over)
		}
	}
}

func (p *instance) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// end waits for PID 1's end and returns the signal that the kernel reports it by:
// SIGHUP for a reboot, SIGINT for power-off and halt (reboot(2), "Behavior
// inside PID namespaces").
func (p *instance) end() unix.Signal {
	p.t.Helper()
	testkit.Receive(p.t, "the end of PID 1", p.ended)
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal()
}

// path leads to a file as PID 1 sees it.
func (p *instance) path(name string) string {
	return fmt.Sprintf("/proc/%d/root%s", p.cmd.Process.Pid, name)
}

// status asks PID 1 over its socket, which shows that it is alive too.
func (p *instance) status() *pid1.Status {
	p.t.Helper()
	conn, err := socket.Dial(p.path(layout.InitSocket), testkit.HangLimit)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	reply, err := pid1.Exchange(conn, pid1.Request{Do: pid1.DoStatus, Lines: 100})
	if err != nil {
		p.t.Fatal(err)
	}
	return reply.Status
}

// service is PID 1's word on one service.
func (p *instance) service(name string) pid1.Service {
	p.t.Helper()
	services := p.status().Services
	at := slices.IndexFunc(services, func(s pid1.Service) bool { return s.Name == name })
	if at < 0 {
		p.t.Fatalf("PID 1 knows no service %s", name)
	}
	return services[at]
}

// console collects what PID 1 says.
type console struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write takes what PID 1 and its first stage print.
func (c *console) Write(text []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(text)
}

// String is everything said so far.
func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// openConsole makes the FIFO that is PID 1's kernel log, and reads it.
func openConsole(t *testing.T, path string) *console {
	t.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // for writing too: the FIFO must never be at its end
	if err != nil {
		t.Fatal(err)
	}
	c, done := &console{}, make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewReader(f)
		for {
			line, err := lines.ReadString('\n')
			fmt.Fprint(c, line)
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		f.Close()
		<-done
	})
	return c
}

// builtInit is PID 1 as the image has it, built once. Go's test cache knows of the
// files that a test looks at: it must not answer for sources that have changed.
var builtInit = sync.OnceValues(func() (path string, err error) {
	err = filepath.WalkDir("..", func(name string, _ fs.DirEntry, err error) error {
		os.Stat(name)
		return err
	})
	if err != nil {
		return "", err
	}
	path = filepath.Join(os.Getenv(programs), "init")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "github.com/ketch-os/ketch/init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build PID 1: %w\n%s", err, out)
	}
	return path, nil
})

// buildStorm builds testdata/storm.c.
func buildStorm(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "storm")
	if out, err := exec.Command(testkit.Tool(t, "gcc"), "-O2", "-Wall", "-Werror", "-static", "-o", path, "testdata/storm.c").CombinedOutput(); err != nil {
		t.Fatalf("build storm.c: %v\n%s", err, out)
	}
	return path
}
