package convert

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
)

// judges tell, for each format, whether a file holds the disk, with the tools
// that others wrote.
func judges() map[string]func(t *testing.T, disk, file string) {
	return map[string]func(t *testing.T, disk, file string){
		"raw":        same,
		"raw.zst":    judgeZst,
		"raw.tar.gz": judgeRawTar,
		"qcow2":      judgeQcow2("1.1"),
		"qcow2-0.10": judgeQcow2("0.10"),
		"vhd":        judgeVHD,
		"vhd-fixed":  judgeVHD,
		"vhd.tar.gz": judgeVHDTar,
		"vmdk":       judgeVMDK,
	}
}

func TestOracles(t *testing.T) {
	for name, d := range disks() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := write(t, name, d.size, d.data)
			for _, f := range Formats() {
				t.Run(f.Name, func(t *testing.T) { judges()[f.Name](t, disk, convert(t, disk, f)) })
			}
		})
	}
}

// info is the part of qemu-img info that is held against what was asked for.
type info struct {
	Size     int64 `json:"virtual-size"`
	Specific struct {
		Data struct {
			Compat     string
			Corrupt    bool
			CreateType string `json:"create-type"`
			Extents    []struct{ Compressed bool }
		}
	} `json:"format-specific"`
}

// judgeQEMU compares with the disk, and returns the description.
func judgeQEMU(t *testing.T, format, disk, file string) (i info) {
	t.Helper()
	testkit.Run(t, "qemu-img", "compare", "-f", "raw", "-F", format, disk, file)
	if err := json.Unmarshal([]byte(testkit.Run(t, "qemu-img", "info", "-f", format, "--output=json", file)), &i); err != nil {
		t.Fatal(err)
	}
	if stat, err := os.Stat(disk); err != nil || stat.Size() != i.Size {
		t.Errorf("qemu-img info: %d bytes; want %d (%v)", i.Size, stat.Size(), err)
	}
	return i
}

func judgeQcow2(compat string) func(t *testing.T, disk, file string) {
	return func(t *testing.T, disk, file string) {
		i := judgeQEMU(t, "qcow2", disk, file)
		if i.Specific.Data.Compat != compat || i.Specific.Data.Corrupt {
			t.Errorf("qemu-img info: %+v; want compat %s", i, compat)
		}
		if out := testkit.Run(t, "qemu-img", "check", "-f", "qcow2", file); !strings.Contains(out, "No errors were found") {
			t.Errorf("qemu-img check: %s", out)
		}
	}
}

func judgeVHD(t *testing.T, disk, file string) { judgeQEMU(t, "vpc", disk, file) }

func judgeVMDK(t *testing.T, disk, file string) {
	i := judgeQEMU(t, "vmdk", disk, file)
	if d := i.Specific.Data; d.CreateType != "streamOptimized" || len(d.Extents) != 1 || !d.Extents[0].Compressed {
		t.Errorf("qemu-img info: %+v; want streamOptimized", i)
	}
	if out := testkit.Run(t, "qemu-img", "check", "-f", "vmdk", file); !strings.Contains(out, "No errors were found") {
		t.Errorf("qemu-img check: %s", out)
	}
}

func judgeRawTar(t *testing.T, disk, file string) { same(t, disk, extract(t, file, memberRaw)) }

func judgeVHDTar(t *testing.T, disk, file string) { judgeVHD(t, disk, extract(t, file, memberVHD)) }

// extract takes an archive's one member out with GNU tar.
func extract(t *testing.T, file, member string) string {
	t.Helper()
	testkit.Run(t, "gzip", "-t", file)
	if out := testkit.Run(t, "tar", "-tzf", file); out != member+"\n" {
		t.Errorf("tar -t: %q; want %s and nothing else", out, member)
	}
	dir := t.TempDir()
	testkit.Run(t, "tar", "-xzSf", file, "-C", dir)
	return filepath.Join(dir, member)
}

func judgeZst(t *testing.T, disk, file string) {
	stat, err := os.Stat(disk)
	if err != nil {
		t.Fatal(err)
	}
	back := filepath.Join(t.TempDir(), "disk.raw")
	if stat.Size() > 1*gib {
		expand(t, file, back)
	} else {
		testkit.Run(t, "zstd", "-qt", file)
		testkit.Run(t, "zstd", "-qd", "--sparse", file, "-o", back)
	}
	same(t, disk, back)
}

// expand unpacks the frames of a file that are not of zeros, each run of them
// with zstd, and puts them where they belong: zstd alone would write every zero.
func expand(t *testing.T, file, to string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	zeros, err := newZstd()(nil, make([]byte, frameSize))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := int64(0)
	for i, frames := range bytes.Split(b, zeros) {
		if i > 0 {
			at += frameSize
		}
		if len(frames) == 0 {
			continue
		}
		unzstd := exec.Command(testkit.Tool(t, "zstd"), "-qdc")
		unzstd.Stdin = bytes.NewReader(frames)
		data, err := unzstd.Output()
		if err != nil {
			t.Fatalf("zstd -d of the frames at %d: %v", at, err)
		}
		if _, err := f.WriteAt(data, at); err != nil {
			t.Fatal(err)
		}
		at += int64(len(data))
	}
	if err := f.Truncate(at); err != nil {
		t.Fatal(err)
	}
}
