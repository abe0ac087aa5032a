package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ketch-os/ketch/agent/fetch"
	"github.com/ketch-os/ketch/internal/config"
	"github.com/ketch-os/ketch/linux/cmdline"
)

const (
	key1 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKLTN1bQRSlIsn3UBXxsKTSVT5LZqYKk5qXkSpmT6M1N anna@home"
	key2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPPLnbgyCBXAjUfQbF4FLCeFuXkOq7SR3gK0dSmQd4bP"
	bad  = "ssh-ed25519 AAAA"
)

// host is a machine with some files in sysfs, parameters, volumes by label, and a
// metadata service.
type host struct {
	image    string
	sys      map[string]string
	cmdline  string
	volumes  map[string]fstest.MapFS
	services []string
}

func (h host) Host() *Host {
	sys := fstest.MapFS{}
	for name, text := range h.sys {
		sys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return &Host{
		Sys: sys, Cmdline: cmdline.Parse(h.cmdline), Image: h.image, Client: &fetch.Client{}, Metadata: h.services,
		Now: func() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) },
		Volume: func(label string) (fs.FS, string, error) {
			if volume, ok := h.volumes[label]; ok {
				return volume, "/dev/sr0", nil
			}
			return nil, "", fs.ErrNotExist
		},
	}
}

func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

const dmiVendor, dmiProduct = "class/dmi/id/sys_vendor", "class/dmi/id/product_name"

func TestFind(t *testing.T) {
	for name, test := range map[string]struct {
		host    host
		want    string // name, and how it was found
		network bool
	}{
		"nothing":                      {host{}, "", false},
		"QEMU without a file":          {host{sys: map[string]string{dmiVendor: "QEMU\n"}}, "", false},
		"QEMU":                         {host{sys: map[string]string{"firmware/qemu_fw_cfg/by_name/opt/org.ketch.config/raw": ""}}, "qemu: fw_cfg has opt/org.ketch.config", false},
		"QEMU, Ignition's file":        {host{sys: map[string]string{"firmware/qemu_fw_cfg/by_name/opt/com.coreos/config/raw": ""}}, "qemu: fw_cfg has opt/com.coreos/config", false},
		"EC2":                          {host{sys: map[string]string{dmiVendor: "Amazon EC2\n"}}, "ec2: DMI: the vendor is Amazon EC2", true},
		"EC2 on Xen":                   {host{sys: map[string]string{dmiVendor: "Xen\n", "class/dmi/id/bios_version": "4.11.amazon\n"}}, "ec2: DMI: the firmware is Amazon's", true},
		"GCE":                          {host{sys: map[string]string{dmiProduct: "Google Compute Engine\n"}}, "gce: DMI: the product is Google Compute Engine", true},
		"OpenStack":                    {host{sys: map[string]string{dmiProduct: "OpenStack Nova"}}, "openstack: DMI: the product is OpenStack Nova", true},
		"OpenStack, config drive":      {host{sys: map[string]string{dmiVendor: "OpenStack Foundation"}, volumes: map[string]fstest.MapFS{"config-2": {}}}, "openstack: /dev/sr0 has the label config-2", false},
		"Rackspace":                    {host{image: "rackspace", sys: map[string]string{dmiVendor: "Xen"}, volumes: map[string]fstest.MapFS{"config-2": {}}}, "rackspace: /dev/sr0 has the label config-2", false},
		"OnMetal":                      {host{image: "onmetal", volumes: map[string]fstest.MapFS{"config-2": {}}}, "onmetal: /dev/sr0 has the label config-2", false},
		"Rackspace without drive":      {host{image: "rackspace", sys: map[string]string{dmiVendor: "Xen"}}, "", false},
		"NoCloud":                      {host{volumes: map[string]fstest.MapFS{"cidata": {}}}, "nocloud: /dev/sr0 has the label cidata", false},
		"a volume of one's own":        {host{volumes: map[string]fstest.MapFS{"ignition": {}}}, "ignition: /dev/sr0 has the label ignition", false},
		"metal":                        {host{cmdline: "quiet ketch.config=https://x/y"}, "metal: kernel parameter ketch.config", true},
		"told to be none":              {host{cmdline: "ketch.platform=none", sys: map[string]string{dmiVendor: "Amazon EC2"}}, "", false},
		"told to be EC2":               {host{cmdline: "ketch.platform=ec2"}, "ec2: kernel parameter ketch.platform", true},
		"told to be one of two":        {host{cmdline: "ketch.platform=nocloud", sys: map[string]string{dmiVendor: "Amazon EC2"}, volumes: map[string]fstest.MapFS{"cidata": {}}}, "nocloud: /dev/sr0 has the label cidata", false},
		"told to be what is not":       {host{cmdline: "ketch.platform=nocloud"}, "error: kernel parameter ketch.platform=nocloud: nothing of it", false},
		"told to be what nobody knows": {host{cmdline: "ketch.platform=moon"}, "error: kernel parameter ketch.platform=moon: there is no such platform", false},
		"told twice":                   {host{cmdline: "ketch.platform=ec2 ketch.platform=gce"}, "error: kernel parameter ketch.platform occurs twice", false},
	} {
		p, err := Find(test.host.Host())
		got, network := "", false
		switch {
		case err != nil:
			got = "error: " + err.Error()
		case p != nil:
			got, network = p.Name+": "+p.Why, p.Network
		}
		if !strings.HasPrefix(got, test.want) || test.want == "" && got != "" || network != test.network {
			t.Errorf("%s: Find = %q, network %v; want %q, %v", name, got, network, test.want, test.network)
		}
	}
}

// cloud is a metadata service that answers as recorded, after a check of each request.
func cloud(t *testing.T, check func(w http.ResponseWriter, r *http.Request) bool, answers map[string]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !check(w, r) {
			return
		}
		text, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, text)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// ec2Check is the token of version 2.
func ec2Check(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.Method == http.MethodPut && r.URL.Path == ec2Token && r.Header.Get(ec2TTL) != "":
		fmt.Fprint(w, "AQAEA-token==")
		return false
	case r.Method == http.MethodGet && r.Header.Get(ec2Header) == "AQAEA-token==":
		return true
	}
	w.WriteHeader(http.StatusUnauthorized)
	return false
}

func gceCheck(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Metadata-Flavor", "Google")
	if r.Header.Get("Metadata-Flavor") != "Google" {
		w.WriteHeader(http.StatusForbidden)
		return false
	}
	return true
}

func anybody(http.ResponseWriter, *http.Request) bool { return true }

const openStackMeta = `{"uuid": "83679162", "hostname": "web-1.novalocal", "public_keys": {"mine": "` + key1 + `\n"}, "keys": [{"name": "mine", "type": "ssh", "data": "` + key1 + `"}, {"type": "x509", "data": "no"}, {"type": "ssh", "data": "` + key2 + `"}], "random_seed": "x"}`

func TestRead(t *testing.T) {
	keys := []config.Key{key1, key2}
	for name, test := range map[string]struct {
		host host
		kind string
		want Facts
	}{
		"EC2": {host{services: []string{"http://127.0.0.1:1", cloud(t, ec2Check, map[string]string{
			"/latest/user-data": "#cloud-config", "/latest/meta-data/instance-id": "i-1234", "/latest/meta-data/local-hostname": "ip-10-0-0-1.ec2.internal",
			"/latest/meta-data/public-keys/": "0=first\n1=second", "/latest/meta-data/public-keys/0/openssh-key": key1 + "\n", "/latest/meta-data/public-keys/1/openssh-key": bad + "\n" + key2,
		})}}, "ec2", Facts{Instance: "i-1234", Hostname: "ip-10-0-0-1.ec2.internal", Keys: keys, UserData: []byte("#cloud-config"), Problems: []string{"SSH key"}}},
		"EC2 without anything": {host{services: []string{cloud(t, ec2Check, nil)}}, "ec2", Facts{}},
		"GCE": {host{services: []string{cloud(t, gceCheck, map[string]string{
			"/computeMetadata/v1/instance/id": "42", "/computeMetadata/v1/instance/hostname": "web.c.project.internal", "/computeMetadata/v1/instance/attributes/user-data": "ketch: 1",
			"/computeMetadata/v1/instance/attributes/ssh-keys": "anna:" + key1 + "\nold:ssh-ed25519 " + strings.Fields(key2)[1] + ` google-ssh {"userName":"old","expireOn":"2026-11-30T00:00:00+0000"}` + "\nno colon\n",
			"/computeMetadata/v1/project/attributes/ssh-keys":  "bob:" + key2 + ` google-ssh {"userName":"bob","expireOn":"2026-12-02T00:00:00+0000"}`,
		})}}, "gce", Facts{Instance: "42", Hostname: "web.c.project.internal", Keys: keys, UserData: []byte("ketch: 1"), Problems: []string{"want USER:KEY"}}},
		"GCE without the project's keys": {host{services: []string{cloud(t, gceCheck, map[string]string{
			"/computeMetadata/v1/instance/id": "42", "/computeMetadata/v1/instance/attributes/block-project-ssh-keys": "TRUE\n",
			"/computeMetadata/v1/project/attributes/ssh-keys": "bob:" + key2,
		})}}, "gce", Facts{Instance: "42"}},
		"OpenStack": {host{services: []string{cloud(t, anybody, map[string]string{
			"/openstack/latest/meta_data.json": openStackMeta, "/openstack/latest/user_data": "ketch: 1",
			"/openstack/latest/network_data.json": `{"networks": [{"id": "a", "type": "ipv4_dhcp"}, {"id": "b", "type": "ipv4"}]}`,
		})}}, "openstack", Facts{Instance: "83679162", Hostname: "web-1", Keys: keys, UserData: []byte("ketch: 1"), Problems: []string{`network_data.json: "b" is of type "ipv4"`}}},
		"config drive": {host{volumes: map[string]fstest.MapFS{"config-2": files("openstack/latest/meta_data.json", openStackMeta)}}, "openstack", Facts{Instance: "83679162", Hostname: "web-1", Keys: keys}},
		"NoCloud": {host{volumes: map[string]fstest.MapFS{"cidata": files("user-data", "#cloud-config", "meta-data", "instance-id: iid-1\nlocal-hostname: web_1\npublic-keys:\n- "+key1+"\n- "+key2+"\nunknown: [x]", "network-config", "version: 2\nethernets: {eth0: {addresses: [192.0.2.1/24]}}")}}, "nocloud",
			Facts{Instance: "iid-1", Keys: keys, UserData: []byte("#cloud-config"), Problems: []string{"network-config", "host name: \"web_1\""}}},
		"a volume of one's own": {host{volumes: map[string]fstest.MapFS{"ignition": files("config.ign", "{}")}}, "ignition", Facts{UserData: []byte("{}")}},
		"QEMU":                  {host{sys: map[string]string{firmwarePath("opt/org.ketch.config"): "ketch: 1"}}, "qemu", Facts{UserData: []byte("ketch: 1")}},
		"metal":                 {host{cmdline: "ketch.config=" + cloud(t, anybody, map[string]string{"/web.yaml": "ketch: 1"}) + "/web.yaml"}, "metal", Facts{UserData: []byte("ketch: 1")}},
	} {
		h := test.host
		h.cmdline += " ketch.platform=" + test.kind
		p, err := Find(h.Host())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := p.Read(t.Context(), h.Host())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(&test.want, got, cmpopts.IgnoreFields(Facts{}, "Platform", "Why", "Source", "Problems"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: Read (-want +got):\n%s", name, diff)
		}
		if len(got.Problems) != len(test.want.Problems) || got.Source == "" || got.Platform != test.kind {
			t.Errorf("%s: problems %q; want %q; source %q", name, got.Problems, test.want.Problems, got.Source)
		}
		for _, want := range test.want.Problems {
			if !slices.ContainsFunc(got.Problems, func(p string) bool { return strings.Contains(p, want) }) {
				t.Errorf("%s: problems %q; want %q", name, got.Problems, want)
			}
		}
	}
}

// TestHostile: a service that is none, or that lies, gives nothing.
func TestHostile(t *testing.T) {
	page := func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<html>Sign in to the hotel's network</html>")
		return false
	}
	moved := func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		return false
	}
	large := func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Metadata-Flavor", "Google")
		w.Write(make([]byte, 8<<20))
		return false
	}
	version1 := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
		return r.Method == http.MethodGet
	}
	for name, check := range map[string]func(http.ResponseWriter, *http.Request) bool{"a page": page, "sent elsewhere": moved, "large": large, "version 1 only": version1} {
		for _, kind := range []string{"ec2", "gce", "openstack"} {
			h := host{cmdline: "ketch.platform=" + kind, services: []string{cloud(t, check, map[string]string{"/latest/user-data": "ketch: 1"})}}.Host()
			p, err := Find(h)
			if err != nil {
				t.Fatal(err)
			}
			if facts, err := p.Read(t.Context(), h); err == nil {
				t.Errorf("%s, %s: Read = %+v; want an error", kind, name, facts)
			}
		}
	}
	for name, meta := range map[string]string{"not JSON": "<html>", "a list": "[]", "keys of another type": `{"public_keys": [1]}`} {
		if err := parseOpenStack([]byte(meta), &Facts{}); err == nil {
			t.Errorf("parseOpenStack of %s has no error", name)
		}
	}
	for name, line := range map[string]string{"no user": "x\n", "dates that are none": `u:k google-ssh {"expireOn":"` + strings.Repeat("x", maxProblem+100) + "\"}\n"} {
		h := host{cmdline: "ketch.platform=gce", services: []string{cloud(t, gceCheck, map[string]string{
			"/computeMetadata/v1/instance/id": "1", "/computeMetadata/v1/instance/attributes/ssh-keys": strings.Repeat(line, 2*maxProblems),
		})}}.Host()
		facts := &Facts{}
		if err := readGCE(t.Context(), h, facts); err != nil || len(facts.Problems) != maxProblems || len(facts.Problems[0]) > maxProblem {
			t.Errorf("GCE's keys, %s: %v, %d problems, the first of %d bytes; want %d of at most %d", name, err, len(facts.Problems), len(facts.Problems[0]), maxProblems, maxProblem)
		}
	}
	many := &Facts{}
	for i := range 2 * maxKeys {
		many.addKeys(fmt.Sprintf("%s %d", key2, i))
	}
	if len(many.Keys) != maxKeys || len(many.Problems) == 0 {
		t.Errorf("%d keys were taken, problems %q; want %d", len(many.Keys), many.Problems, maxKeys)
	}
}

func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "platform.json")
	if f, err := Kept(path); f != nil || err != nil {
		t.Fatalf("Kept of nothing = %v, %v", f, err)
	}
	want := &Facts{Platform: "ec2", Keys: []config.Key{key1}, UserData: []byte{0x1f, 0x8b, 0, 255}, Hostname: "a"}
	if err := Keep(path, want); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil || before.Mode() != 0o600 {
		t.Fatalf("%v, %v; want mode 0600", before.Mode(), err)
	}
	if err := Keep(path, want); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("what was kept already is written again")
	}
	got, err := Kept(path)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Kept: %v (-want +got):\n%s", err, diff)
	}
	data, _ := os.ReadFile(path)
	for i := range data {
		torn := slices.Clone(data)
		torn[i] ^= 0x40
		if f, err := decode(torn); err == nil && !cmp.Equal(f, want) {
			t.Fatalf("decode takes a file with byte %d changed", i)
		}
		if _, err := decode(data[:i]); err == nil && i < len(data)-1 {
			t.Fatalf("decode takes the first %d bytes", i)
		}
	}
}

// TestVolumes: labels of ISO 9660 and FAT, in either case; what is in memory or has no
// size is not looked at.
func TestVolumes(t *testing.T) {
	iso := make([]byte, 40<<10)
	copy(iso[16*2048:], "\x01CD001\x01")
	copy(iso[16*2048+40:], "CONFIG-2                        ")
	fat := make([]byte, 4096)
	fat[510], fat[511], fat[38] = 0x55, 0xaa, 0x29
	copy(fat[43:], "CIDATA     FAT16   ")
	devices := map[string][]byte{"sr0": iso, "vdb": fat, "vdc": make([]byte, 4096), "loop0": iso}
	sys := fstest.MapFS{"class/block/sr1/size": {Data: []byte("0\n")}, "class/block/gone/size": {Data: []byte("8\n")}}
	for name, data := range devices {
		sys["class/block/"+name+"/size"] = &fstest.MapFile{Data: fmt.Appendf(nil, "%d\n", len(data)/512)}
	}
	var opened []string
	v := &Volumes{Sys: sys,
		Open: func(name string) (Device, error) {
			opened = append(opened, name)
			if data, ok := devices[name]; ok {
				return memory{strings.NewReader(string(data))}, nil
			}
			return nil, errors.New("no medium")
		},
		OpenFAT: func(name string) (fs.FS, error) { return files("device", name), nil },
	}
	if _, device, err := v.Find("cidata"); err != nil || device != "/dev/vdb" {
		t.Errorf("Find(cidata) = %s, %v; want /dev/vdb", device, err)
	}
	if _, _, err := v.Find("config-2"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find(config-2) = %v; want that the volume cannot be read", err)
	}
	if _, _, err := v.Find("ignition"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find(ignition) = %v; want that there is none", err)
	}
	if slices.Contains(opened, "loop0") || slices.Contains(opened, "sr1") {
		t.Errorf("opened %v", opened)
	}
}

type memory struct{ *strings.Reader }

func (memory) Close() error { return nil }

func TestAsksForAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "version: 2\nethernets: {eth0: {dhcp4: true, nameservers: {addresses: [192.0.2.1]}}}": false,
		"network: {version: 2, ethernets: {eth0: {addresses: [192.0.2.1/24]}}}": true, "version: 2\nethernets: {eth0: {addresses: []}}": false,
		"version: 1\nconfig: [{type: physical, name: eth0, subnets: [{type: dhcp4}]}]":                      false,
		"version: 1\nconfig: [{type: physical, name: eth0, subnets: [{type: static, address: 192.0.2.1}]}]": true,
		"a: &a [*a]": false,
	} {
		if got := asksForAddresses([]byte(text)); got != want {
			t.Errorf("asksForAddresses(%q) = %v; want %v", text, got, want)
		}
	}
}

func FuzzNetwork(f *testing.F) {
	f.Add([]byte("version: 2\nethernets: {eth0: {addresses: [a]}}"))
	f.Add([]byte(`{"networks": [{"type": "ipv4"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		asksForAddresses(text)
		openStackNetwork(text)
	})
}

func FuzzOpenStack(f *testing.F) {
	f.Add([]byte(openStackMeta))
	f.Fuzz(func(t *testing.T, text []byte) {
		checkFacts(t, func(to *Facts) { _ = parseOpenStack(text, to) })
	})
}

func FuzzNoCloud(f *testing.F) {
	f.Add([]byte("instance-id: a\nlocal-hostname: b\npublic-keys: [" + key1 + "]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		checkFacts(t, func(to *Facts) { parseNoCloud(text, to) })
	})
}

func FuzzGCEKeys(f *testing.F) {
	f.Add("a:" + key1 + ` google-ssh {"expireOn":"2026-12-02T00:00:00+0000"}`)
	f.Fuzz(func(t *testing.T, text string) {
		checkFacts(t, func(to *Facts) {
			keys, _ := parseGCEKeys(text, time.Unix(0, 0))
			to.addKeys(strings.Join(keys, "\n"))
		})
	})
}

func FuzzEC2KeyNumbers(f *testing.F) {
	f.Add("0=a\n1=b")
	f.Fuzz(func(t *testing.T, text string) {
		for _, n := range ec2KeyNumbers(text) {
			if strings.Trim(n, "0123456789") != "" {
				t.Errorf("%q is no number", n)
			}
		}
	})
}

func FuzzKept(f *testing.F) {
	text, _ := encode(&Facts{Platform: "ec2"})
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := decode(data); err == nil && got == nil {
			t.Error("decode returns nothing")
		}
	})
}

func FuzzLabel(f *testing.F) {
	f.Add(make([]byte, 512))
	f.Fuzz(func(t *testing.T, sector []byte) {
		if label := fatLabel(sector); len(label) > 11 {
			t.Errorf("a label of %d bytes", len(label))
		}
	})
}

// checkFacts: whatever a platform says, names are names and keys are keys.
func checkFacts(t *testing.T, read func(to *Facts)) {
	f := &Facts{}
	read(f)
	if f.Hostname != "" && config.CheckHostname(f.Hostname) != nil {
		t.Errorf("host name %q", f.Hostname)
	}
	for _, key := range f.Keys {
		if _, err := config.ParseKey(string(key)); err != nil {
			t.Errorf("key %q: %v", key, err)
		}
	}
}
