package qemutests

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/sbom"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// keysDir holds the keys that the image under test is signed with.
const keysDir = "../keys"

func dbCert(t testing.TB) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(keysDir, "db.crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func verifyDisk(t testing.TB, disk string) []image.Check {
	t.Helper()
	checks, err := openDisk(t, disk).Verify(dbCert(t))
	if err != nil {
		t.Fatal(err)
	}
	return checks
}

// runTool runs a reference tool, which must succeed, and returns what it printed.
func runTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(testkit.Tool(t, name), args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestReferenceToolsAgree holds the image against the tools that others wrote.
func TestReferenceToolsAgree(t *testing.T) {
	t.Parallel()
	path := imagePath(t)
	d, err := image.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	entries, err := d.Entries()
	if err != nil {
		t.Fatal(err)
	}
	root := entries[0].RootHash.String()

	if out := runTool(t, "sgdisk", "-v", path); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	runTool(t, "fsck.vfat", "-n", partition(t, path, layout.NumESP))
	usr, hash := partition(t, path, layout.NumUsrA), partition(t, path, layout.NumVerityA)
	runTool(t, "fsck.erofs", usr)
	runTool(t, "veritysetup", "verify", usr, hash, root)
	for _, name := range []string{layout.AMD64.Guard, layout.AMD64.BootLoader, entries[0].Path} {
		data, err := fs.ReadFile(d.ESP, name)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "signed.efi")
		if err := os.WriteFile(file, data, 0o666); err != nil {
			t.Fatal(err)
		}
		runTool(t, "sbverify", "--cert", filepath.Join(keysDir, "db.crt"), file)
	}
	for _, c := range verifyDisk(t, path) {
		if c.Err != nil {
			t.Errorf("ketch verify disagrees: %s: %v", c.Name, c.Err)
		}
	}
}

func TestSystemdDissectAgrees(t *testing.T) {
	testkit.Root(t, "to attach a loop device, as systemd-dissect does")
	for _, want := range []string{"IMAGE_ID=ketch", "usr ", "usr-verity", "esp ", "var "} {
		if out := runTool(t, "systemd-dissect", "--no-pager", imagePath(t)); !strings.Contains(out, want) {
			t.Errorf("systemd-dissect finds no %q:\n%s", want, out)
		}
	}
}

// TestVerifyFindsAnyByte changes single bytes all over the image, those that no
// signature and no hash covers included.
func TestVerifyFindsAnyByte(t *testing.T) {
	t.Parallel()
	disk := copyOf(t, imagePath(t), 0)
	table, f := readTable(t, disk)
	at := map[string]int64{"protective MBR": 446, "boot code": 3, "primary header": 512 + 60, "primary array": 1024 + 40, "array, unused entry": 1024 + 128*100}
	size := int64(table.Sectors) * table.SectorSize
	at["backup header"], at["backup array"], at["before the backup"] = size-512+60, size-512-128*128+5, size-layout.Alignment+7
	source := rand.New(rand.NewPCG(1, 2))
	for i, p := range table.Partitions {
		start, length := p.Offset(table.SectorSize), p.Size(table.SectorSize)
		at[fmt.Sprintf("first byte of partition %d", i+1)] = start
		at[fmt.Sprintf("last byte of partition %d", i+1)] = start + length - 1
		for n := range 6 {
			at[fmt.Sprintf("partition %d, random byte %d", i+1, n)] = start + source.Int64N(length)
			at[fmt.Sprintf("partition %d, random early byte %d", i+1, n)] = start + source.Int64N(min(length, 8*layout.MiB))
		}
	}
	for name, offset := range at {
		var b [1]byte
		if _, err := f.ReadAt(b[:], offset); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{b[0] ^ 0x10}, offset); err != nil {
			t.Fatal(err)
		}
		if fault, want := firstFault(t, disk), placeOf(table, offset); fault == nil || !want.MatchString(fault.Error()) {
			t.Errorf("byte %d (%s) was changed: ketch verify says %v; want %s", offset, name, fault, want)
		}
		if _, err := f.WriteAt(b[:], offset); err != nil {
			t.Fatal(err)
		}
	}
	if err := firstFault(t, disk); err != nil {
		t.Errorf("with every byte put back: %v", err)
	}
}

// placeOf is how a fault at an offset must be called: by the part of the partition
// table, or by the partition and, but for the ESP, which has files, the block.
func placeOf(table *gpt.Table, offset int64) *regexp.Regexp {
	for i, p := range table.Partitions {
		at := offset - p.Offset(table.SectorSize)
		if at < 0 || at >= p.Size(table.SectorSize) {
			continue
		}
		name := fmt.Sprintf(`partition %d \(%s\)`, i+1, regexp.QuoteMeta(p.Name))
		switch i + 1 {
		case layout.NumESP:
			return regexp.MustCompile(`ESP`)
		case layout.NumBoot: // its copies are named
			return regexp.MustCompile(name)
		}
		block := fmt.Sprintf(`block %d\b`, at/layout.BlockSize)
		if i+1 == layout.NumVerityA && at < layout.BlockSize {
			block = "superblock"
		}
		return regexp.MustCompile(name + ".*" + block)
	}
	if offset < layout.Alignment {
		return regexp.MustCompile("boot code|protective MBR|primary (copy|header|partition array)|unused space")
	}
	return regexp.MustCompile("backup (copy|header|partition array)|unused space")
}

func firstFault(t *testing.T, disk string) error {
	d, err := image.Open(disk)
	if err != nil {
		return err
	}
	defer d.Close()
	checks, err := d.Verify(dbCert(t))
	if err != nil {
		return err
	}
	for _, c := range checks {
		if c.Err != nil {
			return fmt.Errorf("%s: %w", c.Name, c.Err)
		}
	}
	return nil
}

// TestReproducible builds everything twice, in two directories, under two time
// zones and umasks; only the keys are the same.
func TestReproducible(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	var sums []string
	for i, setting := range []struct{ dir, zone, umask string }{
		{"one", "Pacific/Kiritimati", "022"},
		{"a-second-directory/deeper", "America/St_Johns", "077"},
	} {
		dir := filepath.Join(t.TempDir(), setting.dir)
		script := fmt.Sprintf(`set -euo pipefail
umask %s
mkdir -p %q
cd %q
git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -C %q -xf -
cp -r keys %q/keys
cd %q
go build -o bin/ketch ./builder/ketch
bin/ketch layers build -o out/layers
bin/ketch build images/qemu.yaml -o out/disk.raw`, setting.umask, dir, root, dir, dir, dir)
		cmd := exec.Command("bash", "-c", script)
		cmd.Env = append(os.Environ(), "TZ="+setting.zone, "GOFLAGS=-trimpath -buildvcs=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %d: %v\n%s", i+1, err, out)
		}
		sums = append(sums, sum(t, filepath.Join(dir, "out/disk.raw")))
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds differ: SHA-256 %s and %s", sums[0], sums[1])
	}
	if os.Getenv("KETCH_IMAGE") == "" {
		if got := sum(t, imagePath(t)); got != sums[0] {
			t.Errorf("the image under test is another: SHA-256 %s, want %s; is it older than the sources?", got, sums[0])
		}
	}
}

// TestEveryLicenceIsKnown: the bill of materials beside the image names version and
// licence of all that others have made. What has none of its own is the image
// itself and the container images that its parts came in.
func TestEveryLicenceIsKnown(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(imagePath(t) + ".spdx.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc sbom.Document
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, p := range doc.Packages {
		if p.Purpose == "OPERATING-SYSTEM" || p.Purpose == "CONTAINER" {
			continue
		}
		checked++
		if p.Version == "" || p.LicenceDeclared == "" || p.LicenceDeclared == "NOASSERTION" {
			t.Errorf("%s %s: licence %q, %s", p.Name, p.Version, p.LicenceDeclared, p.LicenceComments)
		}
	}
	if checked < 100 {
		t.Errorf("the bill of materials has %d packages; want the Debian packages, the kernel and more than 100 Go modules", checked)
	}
}

// sum is the SHA-256 of a sparse file.
func sum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}
