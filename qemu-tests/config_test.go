package qemutests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

const aliceKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKLTN1bQRSlIsn3UBXxsKTSVT5LZqYKk5qXkSpmT6M1N alice"

// webOn is a Compose file for the demo image, on another port than the demo's own.
func webOn(port int) string {
	return fmt.Sprintf("services: {web: {image: demo, network_mode: host, command: [':%d']}}", port)
}

// TestConfiguration: an image as it is shipped becomes what its configuration says, as
// far as that is right; what is wrong is told with line and column. A page of an error
// in the place of the configuration does not cost the machine what it has.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	o := direct(t, newDisk(t))
	o.Ports = []qemu.Forward{{Host: port, Guest: 8081}}
	o.Config = filepath.Join(t.TempDir(), "web.yaml")
	lines := []string{
		"ketch: 1",
		"hostname: web-1",
		"registries: [a]",
		"ssh: {keys: ['" + aliceKey + "', 'ssh-ed25519 AAAA']}",
		"files:",
		"- {path: /etc/motd, contents: Ahoy}",
		"- {path: /var/lib/app/seed, mode: 0600, owner: 1000, contents: seed}",
		"- {path: /usr/bin/evil, contents: x}",
		"workloads: {shop: {" + webOn(8081) + "}, bad: {services: {a: {image: demo}}}}",
	}
	configure := func(text string) {
		if err := os.WriteFile(o.Config, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	configure(strings.Join(lines, "\n"))

	m := boot(t, o)
	if body := m.get(fmt.Sprintf("http://127.0.0.1:%d/", port)); !strings.Contains(body, "Ketch") {
		t.Errorf("the workload answers %q", body)
	}
	for command, want := range map[string]string{
		"hostname":                       "web-1",
		"cat /etc/hostname":              "web-1",
		"cat /etc/motd":                  "Ahoy",
		"ls -l /var/lib/app/seed":        "-rw-------",
		"cat " + layout.AccessFile:       "alice",
		"ls -l " + layout.AccessFile:     "-rw-------",
		"ls /usr/bin/evil 2>&1 || true":  "no such file",
		"ketchctl platform":              "fw_cfg has opt/org.ketch.config",
		"ketchctl config show":           "the user data, line 3, column 13: registries: is not supported yet",
		"ketchctl status | grep bad-a":   "refused",
		"ketchctl status | grep problem": "configuration: user data:8:10: files.2.path: /usr/bin/evil",
	} {
		if got := m.shell(command); !strings.Contains(strings.ToLower(got), strings.ToLower(want)) {
			t.Errorf("%s = %q; want %q", command, got, want)
		}
	}
	told := "error: configuration: user data:4:" + fmt.Sprint(len(lines[3])-len("'ssh-ed25519 AAAA']}")+1) + ": ssh.keys.1: "
	if n := strings.Count(m.Console.String(), told); n != 1 {
		t.Errorf("the console tells %q %d times; want once", told, n)
	}
	m.shell("echo mine > /var/lib/app/seed")
	m.powerOff()

	configure("<!DOCTYPE html><title>404</title>")
	m = boot(t, o)
	m.get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	for command, want := range map[string]string{
		"hostname":                       "web-1",
		"cat /var/lib/app/seed":          "mine", // it was there
		"cat /etc/motd":                  "Ahoy",
		"ketchctl status | grep problem": "user data: is no configuration",
	} {
		if got := m.shell(command); !strings.Contains(got, want) {
			t.Errorf("with a page of an error: %s = %q; want %q", command, got, want)
		}
	}
	m.powerOff()
}

// TestConfigurationVolume: a FAT volume as Proxmox and people make it, and nothing of it
// stays mounted.
func TestConfigurationVolume(t *testing.T) {
	t.Parallel()
	volume := filepath.Join(t.TempDir(), "cidata.img")
	fatVolume(t, volume, "CIDATA", map[string]string{
		"user-data": "#cloud-config\nwrite_files:\n- {path: /etc/motd, content: from a volume}\n",
		"meta-data": "instance-id: iid-1\nlocal-hostname: volume-1\n",
	})
	o := direct(t, newDisk(t))
	o.Extra = []string{"-drive", "if=none,id=cidata,format=raw,readonly=on,file=" + volume, "-device", "virtio-blk-pci,drive=cidata"}
	m := boot(t, o)
	for command, want := range map[string]string{
		"hostname":                           "volume-1",
		"cat /etc/motd":                      "from a volume",
		"ketchctl platform":                  "has the label cidata",
		"grep -c vfat /proc/mounts || true":  "0",
		"ls /run/ketch/volume | wc -l":       "0",
		"ketchctl config show | grep source": "cloud-config",
	} {
		if got := m.shell(command); !strings.Contains(got, want) {
			t.Errorf("%s = %q; want %q", command, got, want)
		}
	}
	m.powerOff()
}

// fatVolume makes a small FAT file system with files in its root.
func fatVolume(t *testing.T, path, label string, files map[string]string) {
	t.Helper()
	mkfs, mcopy := testkit.Tool(t, "mkfs.vfat"), testkit.Tool(t, "mcopy")
	if out, err := exec.Command(mkfs, "-C", "-n", label, path, "1440").CombinedOutput(); err != nil {
		t.Fatalf("mkfs.vfat: %v\n%s", err, out)
	}
	for name, text := range files {
		cmd := exec.Command(mcopy, "-i", path, "-", "::"+name)
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("mcopy: %v\n%s", err, out)
		}
	}
}

// TestConfigurationEC2: the metadata service at its real address, in the machine's own
// network: the address comes by DHCP first, and a token before anything else.
func TestConfigurationEC2(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	o := direct(t, newDisk(t))
	o.Network = qemu.NetworkNone
	o.Extra = append([]string{"-smbios", "type=1,manufacturer=Amazon EC2"}, metadataNetwork(t, port, ec2Metadata(t))...)
	m := boot(t, o)
	if body := m.get(fmt.Sprintf("http://127.0.0.1:%d/", port)); !strings.Contains(body, "Ketch") {
		t.Errorf("the workload answers %q", body)
	}
	for command, want := range map[string]string{
		"hostname":                 "ip-169-254-10-15",
		"ketchctl platform":        "i-1234",
		"cat " + layout.AccessFile: "alice",
	} {
		if got := m.shell(command); !strings.Contains(got, want) {
			t.Errorf("%s = %q; want %q", command, got, want)
		}
	}
	m.powerOff()
}

// ec2Metadata is Amazon's service, as far as a machine asks it.
func ec2Metadata(t *testing.T) http.HandlerFunc {
	answers := map[string]string{
		"/latest/user-data":                           "#cloud-config\nwrite_files:\n- {path: /etc/ketch/compose/shop.yaml, content: \"" + webOn(8081) + "\"}\n",
		"/latest/meta-data/instance-id":               "i-1234",
		"/latest/meta-data/local-hostname":            "ip-169-254-10-15.ec2.internal",
		"/latest/meta-data/public-keys/":              "0=alice",
		"/latest/meta-data/public-keys/0/openssh-key": aliceKey,
	}
	return func(w http.ResponseWriter, r *http.Request) {
		text, known := answers[r.URL.Path]
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			fmt.Fprint(w, "token")
		case r.Header.Get("X-aws-ec2-metadata-token") != "token":
			w.WriteHeader(http.StatusUnauthorized)
		case !known:
			http.NotFound(w, r)
		default:
			fmt.Fprint(w, text)
		}
	}
}

// metadataNetwork is a network card on a link-local network, where the metadata address
// leads to a server of the test's, and port 8081 of the guest is reached.
func metadataNetwork(t *testing.T, port int, service http.HandlerFunc) []string {
	t.Helper()
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	relay := filepath.Join(t.TempDir(), "relay")
	script := "exec 3<>/dev/tcp/" + strings.Replace(strings.TrimPrefix(server.URL, "http://"), ":", "/", 1) + "\ncat <&3 &\ncat >&3\nwait\n"
	if err := os.WriteFile(relay, []byte(script), 0o666); err != nil {
		t.Fatal(err)
	}
	return []string{
		"-netdev", fmt.Sprintf("user,id=net,restrict=on,net=169.254.0.0/16,host=169.254.0.2,dhcpstart=169.254.10.15,hostfwd=tcp:127.0.0.1:%d-:8081,guestfwd=tcp:169.254.169.254:80-cmd:%s %s", port, testkit.Tool(t, "bash"), relay),
		"-device", "virtio-net-pci,netdev=net,romfile=",
	}
}
