package fat

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
)

// run runs a reference tool and returns what it printed.
func run(t testing.TB, tool string, args ...string) string {
	t.Helper()
	cmd := exec.Command(tool, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MTOOLS_SKIP_CHECK=0", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(tool), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestFsck holds volumes of many sizes against fsck.vfat, which must say nothing
// but the figures that we computed.
func TestFsck(t *testing.T) {
	t.Parallel()
	fsck := testkit.Tool(t, "fsck.vfat")
	for _, sector := range []int64{512, 4096} {
		for i, size := range sizes(sector) {
			sets := map[string][]File{"mixture": slices.Concat(esp(), odd(), wide())}
			if i%8 == 0 {
				sets = fileSets()
			}
			for name, files := range sets {
				checkFsck(t, fsck, name, Options{Size: size, SectorSize: sector, Label: "ESP", Serial: 1, Time: testTime, Files: files})
			}
		}
	}
}

var fsckSummary = regexp.MustCompile(`^fsck\.fat [^\n]*\n[^\n]*: (\d+) files, (\d+)/(\d+) clusters\n$`)

func checkFsck(t *testing.T, fsck, name string, o Options) {
	t.Helper()
	p, err := newPlan(o)
	if err != nil {
		t.Error(err)
		return
	}
	volume := newVolume(t, o)
	defer os.Remove(volume.Name())
	out := run(t, fsck, "-n", volume.Name())
	// fsck counts the root directory as a file, . and .. as none.
	want := []string{fmt.Sprint(len(p.dirs) + len(p.files)), fmt.Sprint(p.used), fmt.Sprint(p.clusters)}
	got := fsckSummary.FindStringSubmatch(out)
	if got == nil || strings.Join(got[1:], " ") != strings.Join(want, " ") {
		t.Errorf("fsck.vfat of %q in %d bytes, sectors of %d: want %v\n%s", name, o.Size, o.SectorSize, want, out)
	}
}

// TestMtools reads a volume back with mtools.
func TestMtools(t *testing.T) {
	t.Parallel()
	mcopy := testkit.Tool(t, "mcopy")
	for name, files := range fileSets() {
		if name == "nothing" || name == "wide" {
			continue
		}
		for _, sector := range []int64{512, 4096} {
			t.Run(fmt.Sprintf("%s/%d", name, sector), func(t *testing.T) {
				o := Options{Size: 260 * mib, SectorSize: sector, Label: "ESP", Serial: 0x12345678, Time: testTime, Files: files}
				volume := newVolume(t, o).Name()
				out := t.TempDir()
				run(t, mcopy, "-s", "-m", "-n", "-i", volume, "::", out)
				compareTree(t, os.DirFS(out), files)
				for _, file := range files {
					info, err := os.Stat(filepath.Join(out, file.Path))
					if err == nil && !info.IsDir() && !info.ModTime().Equal(testTime) {
						t.Errorf("%s is from %v; want %v", file.Path, info.ModTime(), testTime)
					}
				}
			})
		}
	}
}

// TestMinfo asks mtools what it makes of the boot sector and of FSInfo.
func TestMinfo(t *testing.T) {
	minfo := testkit.Tool(t, "minfo")
	o := Options{Size: 512 * mib, Label: "ESP", Serial: 0x12345678, Hidden: 2048, Time: testTime, Files: esp()}
	volume := newVolume(t, o).Name()
	p, err := newPlan(Options{Size: o.Size, SectorSize: 512, Label: o.Label, Files: o.Files})
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, minfo, "-i", volume, "::")
	for _, want := range []string{
		"sector size: 512 bytes", "cluster size: 8 sectors", "reserved (boot) sectors: 36", "fats: 2",
		"big size: 1048576 sectors", "hidden sectors: 2048", "serial number: 12345678", `disk label="ESP        "`,
		`disk type="FAT32   "`, "backup boot sector=6", fmt.Sprintf("free clusters=%d", p.clusters-p.used),
		fmt.Sprintf("last allocated cluster=%d", p.used+1),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("minfo says no %q:\n%s", want, out)
		}
	}
	mlabel := testkit.Tool(t, "mlabel")
	if out := run(t, mlabel, "-s", "-i", volume, "::"); !strings.Contains(out, "Volume label is ESP") {
		t.Errorf("mlabel: %s", out)
	}
}

// TestForeign reads a volume that mkfs.vfat and mtools made.
func TestForeign(t *testing.T) {
	t.Parallel()
	mkfs, mcopy, mmd, mdel := testkit.Tool(t, "mkfs.vfat"), testkit.Tool(t, "mcopy"), testkit.Tool(t, "mmd"), testkit.Tool(t, "mdel")
	for _, options := range [][]string{nil, {"-S", "4096"}, {"-s", "2", "-f", "1"}, {"-s", "1", "-R", "64"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			const size = 300 * mib
			volume := filepath.Join(t.TempDir(), "volume")
			if err := os.WriteFile(volume, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(volume, size); err != nil {
				t.Fatal(err)
			}
			run(t, mkfs, append([]string{"-F", "32", "-n", "FOREIGN", "-i", "89abcdef", volume}, options...)...)
			fill(t, volume, mcopy, mmd, mdel)

			file, err := os.Open(volume)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			f := openVolume(t, file, size)
			if f.Label != "FOREIGN" || f.Serial != 0x89abcdef {
				t.Errorf("label %q, serial %#x", f.Label, f.Serial)
			}
			compareTree(t, f, foreign())
			if err := f.Check(); err != nil {
				t.Error(err)
			}
			if err := f.Pristine(); err == nil {
				t.Error("Pristine takes it for one of ours")
			}
		})
	}
}

func foreign() []File {
	return append(esp(), File{Path: "lower.txt", Data: []byte("NTRes")}, File{Path: "Ünïcode 漢字.txt", Data: pattern(5000, 20)})
}

// fill copies files with mtools, with a hole in the allocation.
func fill(t *testing.T, volume, mcopy, mmd, mdel string) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, pattern(100000, 9), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, mcopy, "-i", volume, source, "::hole")
	for _, dir := range []string{"EFI", "EFI/BOOT", "EFI/Linux", "loader", "loader/keys", "loader/keys/auto"} {
		run(t, mmd, "-i", volume, "::"+dir)
	}
	for i, file := range foreign() {
		if i == 1 {
			run(t, mdel, "-i", volume, "::hole")
		}
		if err := os.WriteFile(source, file.Data, 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, mcopy, "-i", volume, source, "::"+file.Path)
	}
}

// TestFsckAgrees: every fault that TestCheck wants Open or Check to find, fsck.vfat finds too.
func TestFsckAgrees(t *testing.T) {
	t.Parallel()
	fsck := testkit.Tool(t, "fsck.vfat")
	pristine, f := smallVolume(t)
	for name, change := range faults(t, f) {
		t.Run(name, func(t *testing.T) {
			b := slices.Clone(pristine)
			change(b)
			file := filepath.Join(t.TempDir(), "volume")
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(file, 33*mib); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(fsck, "-n", file).CombinedOutput()
			if err == nil && fsckSummary.Match(out) {
				t.Errorf("fsck.vfat finds no fault:\n%s", out)
			}
		})
	}
}
