package qemutests

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// TestCorruptState damages the file system of /var in ways that e2fsck -p cannot
// repair. End: degraded and reachable, with /var in memory and the reason on the
// console and in the status; nothing of the partition is written to but what
// e2fsck -p writes to.
func TestCorruptState(t *testing.T) {
	t.Parallel()
	m, disk := goOn(t, nil)
	m.shell("echo kept > /var/lib/ketch/test-file")
	m.powerOff()
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, fs string)
		reason string
	}{
		{"superblock", func(t *testing.T, fs string) { overwrite(t, fs, 0, 1) }, "no ext4 superblock"},
		{"group descriptors", func(t *testing.T, fs string) { overwrite(t, fs, 1, 1) }, "mount ext4"},
		{"journal", func(t *testing.T, fs string) { overwrite(t, fs, journal(t, fs), 16) }, "mount ext4"},
		{"inode table after a power cut", func(t *testing.T, fs string) {
			runTool(t, "debugfs", "-w", "-R", "set_super_value state 0", fs)
			overwrite(t, fs, inodeTable(t, fs), 4)
		}, "check state partition"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			disk := copyOf(t, disk, 0)
			before := partition(t, disk, layout.NumState)
			test.damage(t, before)
			replacePartition(t, disk, layout.NumState, before)

			m := boot(t, direct(t, disk), "EXT4-fs")
			if line := m.waitLine("degraded: state partition"); !strings.Contains(line, test.reason) {
				t.Errorf("the console says %q; want %q in it", line, test.reason)
			}
			if got := strings.Join(m.status().System.Degraded, "\n"); !strings.Contains(got, test.reason) || !strings.Contains(got, "/var is in memory") {
				t.Errorf("ketchctl status says of the machine: %q; want %q in it", got, test.reason)
			}
			if mounts := m.shell("cat /proc/mounts"); !strings.Contains(mounts, "tmpfs /var tmpfs") {
				t.Errorf("/var is not in memory:\n%s", mounts)
			}
			m.powerOff()
			unchanged(t, before, partition(t, disk, layout.NumState))
		})
	}
}

// overwrite fills blocks of a file system with what has no meaning in ext4.
func overwrite(t *testing.T, fs string, block, count int64) {
	t.Helper()
	f, err := os.OpenFile(fs, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, int(count)*layout.BlockSize), block*layout.BlockSize); err != nil {
		t.Fatal(err)
	}
}

// journal is the first block of the journal, which is inode 8.
func journal(t *testing.T, fs string) int64 {
	t.Helper()
	out, err := exec.Command(testkit.Tool(t, "debugfs"), "-R", "blocks <8>", fs).Output()
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	return number(t, first, err)
}

// inodeTable is the first block of the inode table of the first group, which has
// the root directory in it.
func inodeTable(t *testing.T, fs string) int64 {
	t.Helper()
	out, err := exec.Command(testkit.Tool(t, "dumpe2fs"), fs).Output()
	_, rest, _ := strings.Cut(string(out), "Inode table at ")
	first, _, _ := strings.Cut(rest, "-")
	return number(t, first, err)
}

func number(t testing.TB, text string, err error) int64 {
	t.Helper()
	n, parseErr := strconv.ParseInt(text, 10, 64)
	if err := errors.Join(err, parseErr); err != nil {
		t.Fatal(err)
	}
	return n
}

// replacePartition writes a partition's content back to a disk.
func replacePartition(t *testing.T, disk string, number int, from string) {
	t.Helper()
	table, f := readTable(t, disk)
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	p := table.Partitions[number-1]
	err = eachBlock(f, p.Offset(table.SectorSize), in, func(at int64, block []byte) error {
		_, err := f.WriteAt(block, p.Offset(table.SectorSize)+at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// eachBlock calls do for every block in which the old content, which starts at an
// offset of its file, differs from the new, with the new one.
func eachBlock(old io.ReaderAt, offset int64, new *os.File, do func(at int64, block []byte) error) error {
	info, err := new.Stat()
	if err != nil {
		return err
	}
	const chunk = 1 << 20
	a, b := make([]byte, chunk), make([]byte, chunk)
	for at := int64(0); at < info.Size(); at += chunk {
		n := min(chunk, info.Size()-at)
		if _, err := old.ReadAt(a[:n], offset+at); err != nil {
			return err
		}
		if _, err := new.ReadAt(b[:n], at); err != nil {
			return err
		}
		if bytes.Equal(a[:n], b[:n]) {
			continue
		}
		for i := int64(0); i < n; i += layout.BlockSize {
			if !bytes.Equal(a[i:i+layout.BlockSize], b[i:i+layout.BlockSize]) {
				if err := do(at+i, b[i:i+layout.BlockSize]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// unchanged checks that a machine has written to a damaged file system at most
// where e2fsck -p does.
func unchanged(t *testing.T, before, after string) {
	t.Helper()
	checked := filepath.Join(t.TempDir(), "checked")
	if err := qemu.Copy(checked, before, 0); err != nil {
		t.Fatal(err)
	}
	_ = exec.Command(testkit.Tool(t, "e2fsck"), "-p", checked).Run() // it cannot repair it
	allowed := changedBlocks(t, before, checked)
	for at := range changedBlocks(t, before, after) {
		if !allowed[at] {
			t.Errorf("the machine has written to block %d of a file system that it cannot use", at/layout.BlockSize)
		}
	}
}

// changedBlocks are the offsets of the blocks in which two files differ.
func changedBlocks(t *testing.T, old, new string) map[int64]bool {
	t.Helper()
	a, err := os.Open(old)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := os.Open(new)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	changed := map[int64]bool{}
	err = eachBlock(a, 0, b, func(at int64, _ []byte) error {
		changed[at] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return changed
}
