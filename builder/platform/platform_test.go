package platform

import (
	"archive/tar"
	"compress/gzip"
	"crypto/x509"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ketch-os/ketch/builder/diskfile"
	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/keys"
	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// formats are what each platform gets; ec2 and qemu take another one, too.
func formats() map[string]string {
	return map[string]string{
		"qemu": "raw", "ec2": "raw", "gce": "raw.tar.gz", "openstack": "qcow2-0.10",
		"rackspace": "vhd.tar.gz", "onmetal": "qcow2", "metal": "raw.zst",
	}
}

// testKeys are made once: RSA takes its time.
var testKeys = sync.OnceValues(func() (*keys.Set, error) {
	dir, err := os.MkdirTemp("", "ketch-keys-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	dir = filepath.Join(dir, "keys")
	if err := keys.New(dir, keys.Options{Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}); err != nil {
		return nil, err
	}
	return keys.Load(dir)
})

// artefact makes what a platform gets of a disk, and seals what is downloaded.
func artefact(t *testing.T, platform, format string, d disk) string {
	t.Helper()
	if d.cmdline == nil {
		d.cmdline = cmdline(t, platform)
	}
	if platform == "gce" && d.size == 0 {
		d.size = layout.GiB
	}
	path := filepath.Join(t.TempDir(), "disk.raw")
	d.write(t, path)
	path = convertDisk(t, path, format)
	if platform == "metal" {
		set, err := testKeys()
		check(t, err)
		check(t, Seal(t.Context(), path, keys.Local{Key: set.DB.Key}))
	}
	return path
}

// broken are the rules of the platform that a file breaks.
func broken(t *testing.T, name, path string) map[string]string {
	t.Helper()
	p, err := Find(name)
	check(t, err)
	a, err := Open(path, limit.Default)
	check(t, err)
	defer func() { check(t, a.Close()) }()
	set, err := testKeys()
	check(t, err)
	a.Certs = []*x509.Certificate{set.DB.Certificate}
	found := map[string]string{}
	for _, c := range p.Check(a) {
		if c.Err != nil {
			found[c.Name] = c.Error
		} else if (c.Detail == "") == (c.LeftOut == "") {
			t.Errorf("%s: rule %q says %q, and leaves out %q; want one of them", name, c.Name, c.Detail, c.LeftOut)
		}
	}
	return found
}

// What the shipped definitions ask for, in each platform's formats, breaks no rule.
func TestGoodArtefacts(t *testing.T) {
	t.Parallel()
	for _, p := range All() {
		for _, format := range slices.Compact([]string{formats()[p.Name], map[string]string{"ec2": "vmdk", "qemu": "qcow2", "onmetal": "qcow2-0.10"}[p.Name]}) {
			if format == "" {
				continue
			}
			t.Run(p.Name+" "+format, func(t *testing.T) {
				t.Parallel()
				if found := broken(t, p.Name, artefact(t, p.Name, format, disk{})); len(found) > 0 {
					t.Errorf("broken: %q", found)
				}
			})
		}
	}
}

// breakage breaks a platform's rules in one place.
type breakage struct {
	platform string
	name     string
	format   string // default: the platform's
	disk     disk
	change   func(t *testing.T, path string) // of the artefact
	want     map[string]string               // the broken rules, and a part of what each says
}

func breakages() []breakage {
	list := []breakage{
		{platform: "qemu", name: "half a MiB more", change: grow(layout.MiB / 2), want: map[string]string{"disk size": "524288 more than a multiple of 1 MiB", "partition table": "not at the disk's last block", "protective MBR": "want 0xee, 1, 525311"}},
		{platform: "qemu", name: "a disk that grew", change: grow(layout.MiB), want: map[string]string{"partition table": "backup copy: at block 524287, not at the disk's last block 526335", "protective MBR": "size 524287"}},
		{platform: "qemu", name: "no backup table", change: overwrite(-512, make([]byte, 512)), want: map[string]string{"partition table": "backup copy: no signature"}},
		{platform: "qemu", name: "no primary table", change: overwrite(512, make([]byte, 512)), want: map[string]string{"partition table": "primary copy: no signature"}},
		{platform: "qemu", name: "a cut disk", change: grow(-layout.MiB), want: map[string]string{
			"partition table": "beyond the disk's", "protective MBR": "without a partition table", "alignment": "without a partition table", "boot loader": "without a", "boot entries": "without a", "console": "without a"}},
		{platform: "qemu", name: "an MBR of all ones", change: overwrite(458, []byte{0xff, 0xff, 0xff, 0xff}), want: map[string]string{"protective MBR": "byte 446: type 0xee, start 1, size 4294967295; want 0xee, 1, 524287"}},
		{platform: "qemu", name: "a partition off by a sector", disk: disk{table: func(t *gpt.Table) { t.Partitions[3].First++ }}, want: map[string]string{"alignment": "partition 4 (p4): bytes 85983744 to"}},
		{platform: "qemu", name: "a partition that ends early", disk: disk{table: func(t *gpt.Table) { t.Partitions[3].Last-- }}, want: map[string]string{"alignment": "partition 4 (p4)"}},
		{platform: "qemu", name: "no ESP", disk: disk{table: func(t *gpt.Table) { t.Partitions[0].Type = gpt.MustParseGUID(layout.TypeBIOS) }}, want: map[string]string{"boot loader": "partition 1: not of type", "boot entries": "partition 1", "console": "partition 1"}},
		{platform: "qemu", name: "no boot loader", disk: disk{noLoader: true}, want: map[string]string{"boot loader": "EFI/BOOT/BOOTX64.EFI"}},
		{platform: "qemu", name: "no kernel image", disk: disk{noEntry: true}, want: map[string]string{"boot entries": "no kernel image in EFI/Linux", "console": "no kernel image"}},
		{platform: "qemu", name: "no console", disk: disk{cmdline: []string{"quiet"}}, want: map[string]string{"console": `ESP EFI/Linux/ketch_1.0+3-0.efi: command line: console= []; want ["ttyS0"]`}},

		{platform: "ec2", name: "consoles the wrong way round", disk: disk{cmdline: []string{"console=ttyS0,115200n8", "console=tty1", "nvme_core.io_timeout=4294967295", "net.ifnames=0"}}, want: map[string]string{"console": `console= ["ttyS0,115200n8" "tty1"]`}},
		{platform: "ec2", name: "a time-out of 30 s", disk: disk{cmdline: []string{"console=tty1", "console=ttyS0,115200n8", "nvme_core.io_timeout=30", "net.ifnames=0"}}, want: map[string]string{"disk time-out": `nvme_core.io_timeout= ["30"]; want nvme_core.io_timeout=4294967295 once`}},
		{platform: "ec2", name: "no net.ifnames", disk: disk{cmdline: []string{"console=tty1", "console=ttyS0,115200n8", "nvme_core.io_timeout=4294967295"}}, want: map[string]string{"interface names": "net.ifnames= []"}},
		{platform: "ec2", name: "net.ifnames twice", disk: disk{cmdline: []string{"console=tty1", "console=ttyS0,115200n8", "nvme_core.io_timeout=4294967295", "net.ifnames=0", "net.ifnames=1"}}, want: map[string]string{"interface names": `net.ifnames= ["0" "1"]`}},

		{platform: "gce", name: "not whole GiB", disk: disk{size: layout.GiB + layout.MiB}, want: map[string]string{"disk size in GiB": "1048576 more than a multiple of 1 GiB"}},
		{platform: "gce", name: "a screen", disk: disk{cmdline: []string{"console=tty0", "console=ttyS0,115200n8"}}, want: map[string]string{"console": `["tty0" "ttyS0,115200n8"]`}},
		{platform: "gce", name: "a PAX header", change: repack(tar.FormatPAX, map[string]string{"KETCH.note": "x"}, "disk.raw"), want: map[string]string{"tar dialect": "byte 0: a PAX header (type 'x')"}},
		{platform: "gce", name: "a POSIX header", change: repack(tar.FormatUSTAR, nil, "disk.raw"), want: map[string]string{"tar dialect": `magic "ustar\x0000"`}},
		{platform: "gce", name: "another name", change: repack(tar.FormatGNU, nil, "image.raw"), want: map[string]string{"tar member": `members ["image.raw"]; want one, "disk.raw"`}},
		{platform: "gce", name: "a name with a dot", change: repack(tar.FormatGNU, nil, "./disk.raw"), want: map[string]string{"tar member": `members ["./disk.raw"]`}},
		{platform: "gce", name: "two members", change: repack(tar.FormatGNU, nil, "disk.raw", "README"), want: map[string]string{"tar member": `members ["disk.raw" "README"]`}},
		{platform: "gce", name: "cut short", change: grow(-1000), want: map[string]string{"container": "gz: unexpected EOF"}},

		{platform: "openstack", name: "compat=1.1", format: "qcow2", want: map[string]string{"qcow2 compat": "version 3 (compat=1.1); want version 2"}},
		{platform: "openstack", name: "not compressed", change: qemuImg("convert", "-O", "qcow2", "-o", "compat=0.10"), want: map[string]string{"qcow2 compression": "none of"}},
		{platform: "openstack", name: "a snapshot", change: func(t *testing.T, path string) { testkit.Run(t, "qemu-img", "snapshot", "-c", "one", path) }, want: map[string]string{"qcow2 snapshots": "1 snapshots"}},
		{platform: "openstack", name: "no screen", disk: disk{cmdline: []string{"console=ttyS0"}}, want: map[string]string{"console": `want ["tty1" "ttyS0"]`}},
		{platform: "openstack", name: "a table beyond the file", change: overwrite(40, []byte{0, 0, 0, 0xff}), want: map[string]string{"container": "qcow2: qcow2 header: L1 table"}},

		{platform: "rackspace", name: "a fixed VHD", change: repackVHD("vhd-fixed"), want: map[string]string{"VHD type": "footer, byte 60: disk type 2 (fixed); want 3"}},
		{platform: "rackspace", name: "another creator", change: repackVHD("qemu"), want: map[string]string{"VHD creator": `footer, byte 28: creator "qem2"; want "tap"`}},
		{platform: "rackspace", name: "another name", change: repack(tar.FormatGNU, nil, "0.vhd"), want: map[string]string{"tar member": `members ["0.vhd"]`}},
		{platform: "rackspace", name: "another console", disk: disk{cmdline: []string{"console=ttyS0"}}, want: map[string]string{"console": `want ["tty0" "ttyS0"]`}},
		{platform: "rackspace", name: "a raw disk in the archive", change: repackVHD("raw"), want: map[string]string{"container": "raw.tar.gz; want vhd.tar.gz", "VHD type": "no VHD", "VHD creator": "no VHD"}},

		{platform: "onmetal", name: "the first serial port", disk: disk{cmdline: []string{"console=ttyS0,115200n8", "8250.nr_uarts=5", "modprobe.blacklist=mei_me"}}, want: map[string]string{"console": `want ["ttyS4,115200n8"]`}},
		{platform: "onmetal", name: "four ports", disk: disk{cmdline: []string{"console=ttyS4,115200n8", "modprobe.blacklist=mei_me"}}, want: map[string]string{"serial ports": "want 8250.nr_uarts=5"}},
		{platform: "onmetal", name: "management engine", disk: disk{cmdline: []string{"console=ttyS4,115200n8", "8250.nr_uarts=5"}}, want: map[string]string{"management engine": "want modprobe.blacklist=mei_me"}},
		{platform: "onmetal", name: "a snapshot", change: func(t *testing.T, path string) { testkit.Run(t, "qemu-img", "snapshot", "-c", "one", path) }, want: map[string]string{"qcow2 snapshots": "1 snapshots"}},

		{platform: "metal", name: "a serial port that may not be there", disk: disk{cmdline: []string{"console=tty0", "console=ttyS0", "earlycon", "keep_bootcon"}}, want: map[string]string{"console": `["tty0" "ttyS0"]`}},
		{platform: "metal", name: "no port of SPCR", disk: disk{cmdline: []string{"console=tty0"}}, want: map[string]string{"console of SPCR": "earlycon= []", "console of SPCR, kept": "keep_bootcon= []"}},
		{platform: "metal", name: "no files beside", change: func(t *testing.T, path string) {
			check(t, os.Remove(path+checksumSuffix))
			check(t, os.Remove(path+signatureSuffix))
		}, want: map[string]string{"checksum file": "no such file", "signature": "no such file"}},
		{platform: "metal", name: "another file's checksum", change: func(t *testing.T, path string) {
			check(t, os.WriteFile(path+checksumSuffix, []byte(checksumLine(make([]byte, 32), path)), 0o666))
		}, want: map[string]string{"checksum file": "disk.raw.zst.sha256: "}},
		{platform: "metal", name: "another key", change: func(t *testing.T, path string) {
			set, err := testKeys()
			check(t, err)
			check(t, Seal(t.Context(), path, keys.Local{Key: set.KEK.Key}))
		}, want: map[string]string{"signature": "not a signature of this file by"}},
	}
	for name, more := range map[string]map[string]string{ // in a bare VHD, what is particular to the right container is missing
		"qemu": {}, "ec2": {}, "gce": {"tar dialect": "no tar", "tar member": "no tar"}, "rackspace": {"tar member": "no tar"}, "metal": {},
		"openstack": {"qcow2 snapshots": "no qcow2", "qcow2 compat": "no qcow2", "qcow2 compression": "no qcow2"}, "onmetal": {"qcow2 snapshots": "no qcow2"},
	} {
		more["container"] = "the file is vhd; want "
		list = append(list, breakage{platform: name, name: "another container", format: "vhd", want: more})
		if name != "qemu" {
			if name != "metal" {
				list = append(list, breakage{platform: name, name: "a disk of 4096-byte sectors", disk: disk{sectorSize: 4096}, want: map[string]string{"sector size": "for sectors of 4096 bytes; want 512"}})
			}
			list = append(list, breakage{platform: name, name: "a debug shell", disk: disk{debug: true}, want: map[string]string{"no debug shell": "/usr/lib/ketch/debug/debugd is there"}})
		}
	}
	return list
}

// Each rule of each platform is broken once on purpose: that rule, and no other, tells.
func TestBrokenRules(t *testing.T) {
	t.Parallel()
	var lock sync.Mutex
	seen := map[string]bool{}
	skipped := false
	t.Run("each", func(t *testing.T) {
		for _, b := range breakages() {
			t.Run(b.platform+" "+b.name, func(t *testing.T) {
				t.Parallel()
				defer func() {
					lock.Lock()
					defer lock.Unlock()
					skipped = skipped || t.Skipped()
				}()
				format := b.format
				if format == "" {
					format = formats()[b.platform]
				}
				path := artefact(t, b.platform, format, b.disk)
				if b.change != nil {
					b.change(t, path)
				}
				found := broken(t, b.platform, path)
				for rule, part := range b.want {
					if !strings.Contains(found[rule], part) {
						t.Errorf("rule %q says %q; want %q", rule, found[rule], part)
					}
					lock.Lock()
					seen[b.platform+": "+rule] = true
					lock.Unlock()
					delete(found, rule)
				}
				if len(found) > 0 {
					t.Errorf("also broken: %q", found)
				}
			})
		}
	})
	if skipped {
		t.Skip("rules whose tests were skipped, see above, are not broken")
	}
	for _, p := range All() {
		for _, r := range append(p.Rules, Rule{Name: "container"}) {
			if !seen[p.Name+": "+r.Name] {
				t.Errorf("%s: no test breaks the rule %q", p.Name, r.Name)
			}
		}
	}
	for _, r := range everywhere() {
		if !seen["qemu: "+r.Name] {
			t.Errorf("no test breaks the rule %q", r.Name)
		}
	}
}

// grow changes the size of a file.
func grow(by int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		info, err := os.Stat(path)
		check(t, err)
		check(t, os.Truncate(path, info.Size()+by))
	}
}

// overwrite writes bytes at an offset; a negative one counts from the end.
func overwrite(at int64, data []byte) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		check(t, err)
		defer f.Close()
		if at < 0 {
			end, err := f.Seek(0, io.SeekEnd)
			check(t, err)
			at += end
		}
		_, err = f.WriteAt(data, at)
		check(t, err)
	}
}

// repack packs the disk in an archive once more, in another dialect or under other names.
func repack(format tar.Format, records map[string]string, names ...string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		a, err := Open(path, limit.Default)
		check(t, err)
		defer a.Close()
		inside := io.NewSectionReader(a.Disk, 0, a.Size)
		if a.VHD != nil {
			inside = vhdOf(t, a)
		}
		pack(t, path, &tar.Header{Format: format, PAXRecords: records, Mode: 0o644, Size: inside.Size()}, inside, names...)
	}
}

// vhdOf is the VHD that a disk was made of, made again.
func vhdOf(t *testing.T, a *Artefact) *io.SectionReader {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(raw)
	check(t, err)
	defer f.Close()
	_, err = diskfile.CopySparse(f, io.NewSectionReader(a.Disk, 0, a.Size))
	check(t, err)
	check(t, f.Truncate(a.Size))
	return section(t, convertDisk(t, raw, "vhd"))
}

func section(t *testing.T, path string) *io.SectionReader {
	t.Helper()
	f, err := os.Open(path)
	check(t, err)
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	check(t, err)
	return io.NewSectionReader(f, 0, info.Size())
}

// pack writes an archive: the first name has the content, the others are empty.
func pack(t *testing.T, path string, h *tar.Header, content io.Reader, names ...string) {
	t.Helper()
	f, err := os.Create(path + ".new")
	check(t, err)
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	check(t, err)
	w := tar.NewWriter(z)
	for i, name := range names {
		h.Name = name
		if i > 0 {
			h.Size = 0
		}
		check(t, w.WriteHeader(h))
		if i == 0 {
			_, err := io.Copy(w, content)
			check(t, err)
		}
	}
	check(t, w.Close())
	check(t, z.Close())
	check(t, os.Rename(path+".new", path))
}

// repackVHD packs another kind of disk in Rackspace's archive.
func repackVHD(format string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		raw := strings.TrimSuffix(path, "vhd.tar.gz") + "raw"
		var inside *io.SectionReader
		if format == "qemu" {
			testkit.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", raw, raw+".vhd")
			inside = section(t, raw+".vhd")
		} else {
			inside = section(t, convertDisk(t, raw, format))
		}
		pack(t, path, &tar.Header{Format: tar.FormatGNU, Mode: 0o644, Size: inside.Size()}, inside, "image.vhd")
	}
}

// qemuImg makes the file anew with QEMU's tool.
func qemuImg(args ...string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		testkit.Run(t, "qemu-img", append(args, path, path+".new")...)
		check(t, os.Rename(path+".new", path))
	}
}

// What Seal writes, common tools check; what common tools write, the rules accept.
func TestSealAgainstTools(t *testing.T) {
	t.Parallel()
	set, err := testKeys()
	check(t, err)
	path := artefact(t, "metal", "raw.zst", disk{})
	dir := filepath.Dir(path)
	der, err := x509.MarshalPKIXPublicKey(set.DB.Certificate.PublicKey)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "db.der"), der, 0o666))
	private, err := x509.MarshalPKCS8PrivateKey(set.DB.Key)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "db.key"), private, 0o600))
	testkit.Tool(t, "openssl")
	for _, script := range []string{
		"sha256sum -c disk.raw.zst.sha256",
		"openssl dgst -sha256 -verify db.der -keyform DER -signature disk.raw.zst.sig disk.raw.zst",
		"sha256sum disk.raw.zst > disk.raw.zst.sha256",
		"openssl dgst -sha256 -sign db.key -keyform DER -out disk.raw.zst.sig disk.raw.zst",
	} {
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
	if found := broken(t, "metal", path); len(found) > 0 {
		t.Errorf("with the tools' files: %q", found)
	}
}

func TestFind(t *testing.T) {
	const all = "platforms: qemu, ec2, gce, openstack, rackspace, onmetal, metal"
	for name, want := range map[string]string{"": "no platform given", "azure": `unknown platform "azure"`} {
		if _, err := Find(name); err == nil || err.Error() != want || hint.Of(err) != all {
			t.Errorf("Find(%q) = %v (hint %q); want %q (%q)", name, err, hint.Of(err), want, all)
		}
	}
}

// FuzzOpen opens what may be anything: nothing but errors comes of it.
func FuzzOpen(f *testing.F) {
	for _, magic := range []string{"\x1f\x8b\x08", "\x28\xb5\x2f\xfd", "QFI\xfb", "KDMV", "conectix", strings.Repeat("\x00", 257) + magicGNU} {
		f.Add([]byte(magic + strings.Repeat("\x00", 2048)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "file")
		check(t, os.WriteFile(path, data, 0o666))
		a, err := Open(path, limit.Default)
		check(t, err)
		for _, p := range All() {
			_ = p.Check(a)
		}
		check(t, a.Close())
	})
}
