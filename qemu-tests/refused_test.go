package qemutests

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/layout"
)

// configured is a PID 1 that, before it starts the services, finds a file in /etc
// that the image does not carry: a machine configuration that nobody has checked.
// The builder would not let it into an image.
func configured(t *testing.T, path, text string) files {
	t.Helper()
	const place = "func (s *running) startServices() error {"
	system, err := os.ReadFile("../init/system.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(system), place) {
		t.Fatalf("init/system.go has no %q to put a configuration into", place)
	}
	return faultyInit(t, map[string]string{
		"system.go": strings.Replace(string(system), place, place+"\n\tif err := configure(); err != nil { return err }", 1),
		"configure.go": fmt.Sprintf(`package main

import (
	"os"
	"path/filepath"
)

func configure() error {
	if err := os.MkdirAll(filepath.Dir(%[1]q), 0o755); err != nil {
		return err
	}
	return os.WriteFile(%[1]q, []byte(%[2]q), 0o644)
}
`, path, text)})
}

// TestEssentialWorkloadRefused: the Compose file of an essential service is
// refused. End: the health gate's deadline, and a reboot; the reason names the file,
// the line and the field.
func TestEssentialWorkloadRefused(t *testing.T) {
	t.Parallel()
	changed := configured(t, layout.ComposeDir+"/shop.yaml", "services:\n  web:\n    image: demo\n    network_mode: host\n"+
		"    ports: ['80:80']\n    labels:\n      org.ketch.essential: 'true'\n")
	disk := buildFaulty(t, gateConfiguration(gateDeadline).with(changed))
	m := reboots(t, direct(t, disk), gateLimit, fatal+"health gate")
	const reason = "workload shop-web is accepted: /etc/ketch/compose/shop.yaml:5: services.web.ports: not supported"
	if !strings.Contains(m.Console.String(), reason) {
		t.Errorf("the console does not tell %q", reason)
	}
}
