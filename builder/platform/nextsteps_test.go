package platform

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/internal/testkit"
)

// TestNextSteps: there is a page for each platform that one does not start oneself,
// it names the file, and its commands are such for a shell.
func TestNextSteps(t *testing.T) {
	shell := testkit.Tool(t, "bash")
	path := filepath.Join(t.TempDir(), "disk.raw")
	disk{}.write(t, path)
	a, err := Open(path, limit.Default)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, p := range All() {
		var page strings.Builder
		err := p.NextSteps(&page, a)
		if !p.Production() {
			if err == nil {
				t.Errorf("%s has next steps", p.Name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		file := "disk.raw"
		if p.Name == "ec2" {
			file = "disk.vmdk" // beside the raw one
		}
		text := page.String()
		if !strings.Contains(text, file) || !strings.HasPrefix(text, "# Ketch ") || strings.Contains(text, "{{") {
			t.Errorf("%s: page does not name %s, or is not filled in:\n%s", p.Name, file, text)
		}
		var commands strings.Builder
		for line := range strings.Lines(text) {
			if command, ok := strings.CutPrefix(line, "    "); ok {
				commands.WriteString(command)
			}
		}
		check := exec.Command(shell, "-n")
		check.Stdin = strings.NewReader(commands.String())
		if out, err := check.CombinedOutput(); err != nil || commands.Len() == 0 {
			t.Errorf("%s: bash -n: %v: %s\n%s", p.Name, err, out, commands.String())
		}
	}
}
