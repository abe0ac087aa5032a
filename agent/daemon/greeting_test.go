package daemon

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
)

func TestGreeting(t *testing.T) {
	up := &node.Status{State: node.Healthy, System: &pid1.Status{Version: "1.2.3"}, Links: []node.Link{
		{Name: "eth0"},
		{Name: "eth1", Addresses: []string{"fe80::1/64", "10.0.2.15/24", "fd00::1/64"}},
	}}
	key := access.File{Users: []access.User{{Name: "empty"}, {Name: "eve", Keys: []string{"ssh-ed25519 AAAA"}}}}
	for name, test := range map[string]struct {
		status      *node.Status
		file        access.File
		fingerprint string
		want        []string
	}{
		"nothing known": {&node.Status{State: node.Degraded}, access.File{}, "", []string{"this is m: degraded"}},
		"no keys":       {up, access.File{}, "SHA256:x", []string{"this is m, Ketch 1.2.3: healthy", "eth1 has fe80::1/64 10.0.2.15/24 fd00::1/64"}},
		"keys": {up, key, "SHA256:x", []string{"this is m, Ketch 1.2.3: healthy", "eth1 has fe80::1/64 10.0.2.15/24 fd00::1/64",
			"ssh eve@10.0.2.15, host key SHA256:x"}},
		"authorities, another port": {up, access.File{TrustedUserCAKeys: []string{"x"}, Port: 2222}, "",
			[]string{"this is m, Ketch 1.2.3: healthy", "eth1 has fe80::1/64 10.0.2.15/24 fd00::1/64", "ssh core@10.0.2.15 -p 2222"}},
	} {
		if diff := cmp.Diff(test.want, greeting("m", test.status, test.file, test.fingerprint)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
