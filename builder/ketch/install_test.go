package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/ketch-os/ketch/internal/cli"
)

// TestInstall does what `go install …/ketch@version` does for somebody who has no
// checkout: the module comes from a proxy, which here is a directory, and what it
// needs from what this machine has of other modules.
func TestInstall(t *testing.T) {
	const version = "v0.99.0-test.1"
	proxy, cache, bin := t.TempDir(), t.TempDir(), t.TempDir()
	writeProxy(t, filepath.Join(proxy, "github.com/ketch-os/ketch/@v"), module.Version{Path: "github.com/ketch-os/ketch", Version: version})
	install := exec.Command("go", "install", "github.com/ketch-os/ketch/builder/ketch@"+version)
	install.Dir = t.TempDir() // in no module
	install.Env = append(os.Environ(),
		"GOPROXY=file://"+proxy+",file://"+filepath.Join(goEnv(t, "GOMODCACHE"), "cache/download"),
		"GOSUMDB=off", "GOMODCACHE="+cache, "GOBIN="+bin, "GOCACHE="+goEnv(t, "GOCACHE"), "GOFLAGS=-trimpath -modcacherw", "GOWORK=off")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", install, err, out)
	}
	out, err := exec.Command(filepath.Join(bin, "ketch"), "version", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var says cli.Version
	if err := json.Unmarshal(out, &says); err != nil || says.Version != version {
		t.Errorf("the installed ketch calls itself %s, %v; want version %s", out, err, version)
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// writeProxy writes the files that a module proxy serves for one version of this
// module (go.dev/ref/mod, "GOPROXY protocol"), from the files that git knows.
func writeProxy(t *testing.T, dir string, m module.Version) {
	t.Helper()
	const root = "../.."
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	names, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	var files []zip.File
	for name := range strings.SplitSeq(strings.Trim(string(names), "\x00"), "\x00") {
		if _, err := os.Lstat(filepath.Join(root, name)); err == nil { // else it has been removed
			files = append(files, sourceFile{root, name})
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	archive, err := os.Create(filepath.Join(dir, m.Version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	if err := zip.Create(archive, m, files); err != nil {
		t.Fatal(err)
	}
	goMod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"list": m.Version + "\n", m.Version + ".info": `{"Version":"` + m.Version + `"}`, m.Version + ".mod": string(goMod),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// sourceFile is a file of the module.
type sourceFile struct{ root, name string }

func (f sourceFile) Path() string                 { return f.name }
func (f sourceFile) Lstat() (os.FileInfo, error)  { return os.Lstat(filepath.Join(f.root, f.name)) }
func (f sourceFile) Open() (io.ReadCloser, error) { return os.Open(filepath.Join(f.root, f.name)) }
