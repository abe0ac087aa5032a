package qemutests

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/oslayers/oci"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/pace"
	"github.com/ketch-os/ketch/internal/testkit"
)

// firstHourLimit is for a build and two machines, one after the other.
const firstHourLimit = 3 * bootLimit

// blocks are the fenced blocks of a document, in order, by their language.
func blocks(t *testing.T, path, language string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fence := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	for _, match := range fence.FindAllStringSubmatch(string(text), -1) {
		found = append(found, match[1])
	}
	return found
}

// checkout is a directory that looks like a checkout in which everything is built.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"bin", "images", "keys", "out"} {
		place, err := filepath.Abs(filepath.Join("..", name))
		if err == nil {
			err = os.Symlink(place, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// webArchive is an image of one static program that answers on port 8000.
func webArchive(t *testing.T) []byte {
	t.Helper()
	archive, err := oci.Archive("shop/web:1", "1", tarOf(t, files{"hello": guestProgram(t, "./testdata/hello")}), oci.Image{Config: v1.Config{Entrypoint: []string{"/hello"}}})
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// TestFirstHour does what docs/first-hour.md says, command by command, as it is
// written there: from a container to a machine that answers.
func TestFirstHour(t *testing.T) {
	t.Parallel()
	const page = "../docs/first-hour.md"
	testkit.Tool(t, "curl")
	ctx, cancel := context.WithTimeout(t.Context(), firstHourLimit)
	defer cancel()
	dir := checkout(t)
	yaml, commands := blocks(t, page, "yaml"), blocks(t, page, "sh")
	if len(yaml) != 2 || len(commands) != 5 {
		t.Fatalf("%s has %d files and %d commands; this test knows 2 and 5", page, len(yaml), len(commands))
	}
	for name, data := range map[string][]byte{"compose.yaml": []byte(yaml[0]), "image.yaml": []byte(yaml[1]), "web.tar": webArchive(t)} {
		path := filepath.Join(dir, "shop", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	do := func(command string) (string, error) {
		cmd := exec.CommandContext(ctx, "sh", "-ec", command)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	check, build, run, ask, test := commands[0], commands[1], commands[2], commands[3], commands[4]
	for _, command := range []string{check, build} {
		if out, err := do(command); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	answers(t, ctx, dir, run, func() (string, error) { return do(ask) })
	out, err := do(test)
	if err != nil || !regexp.MustCompile(`(?m)^shop-web +running `).MatchString(out) {
		t.Errorf("%s: %v\n%s\nwant shop-web running", test, err, out)
	}
}

// answers starts a machine by a command and asks until the container answers.
func answers(t *testing.T, ctx context.Context, dir, command string, ask func() (string, error)) {
	t.Helper()
	var console strings.Builder
	cmd := exec.CommandContext(ctx, "sh", "-ec", "exec "+command)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &console, &console
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	}()
	for began := time.Now(); ; {
		out, err := ask()
		if err == nil && strings.Contains(out, "ahoy from the shop") {
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s has ended: %v\n%s", command, err, &console)
		case <-ctx.Done():
			cmd.Process.Signal(syscall.SIGTERM)
			err := <-ended
			ended <- err
			t.Fatalf("the container never answered\n%s", &console)
		case <-time.After(pace.Pause(time.Since(began))):
		}
	}
}

// TestDebugShell: what fingers know works in the shell of a debug image.
func TestDebugShell(t *testing.T) {
	t.Parallel()
	m, _ := goOn(t, nil)
	for command, want := range map[string]string{
		"seq 9 | head -5":                    "5\n",
		"echo one | grep -E 'o(n|m)e'":       "one\n",
		"df -h /var":                         "/var\n",
		"printf 'a b\\n' | awk '{print $2}'": "b\n",
		"echo abc | sed s/b/x/":              "axc\n",
		"vi --help 2>&1 || true":             "Edit FILE",
		"TERM=linux clear | wc -c":           "",
		"which clear":                        "/usr/bin/clear",
	} {
		ctx, cancel := qemu.Limit(m.ctx, bootLimit)
		out, err := m.Shell(ctx, command)
		cancel()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s = %q, %v; want %q in it", command, out, err, want)
		}
	}
}
