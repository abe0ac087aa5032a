package writelog

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
)

func TestSizes(t *testing.T) {
	if got := binary.Size(superblock{}); got != 28 {
		t.Errorf("superblock has %d bytes; want 28", got)
	}
	if got := binary.Size(record{}); got != 32 {
		t.Errorf("record has %d bytes; want 32", got)
	}
}

// step is one entry of a log that a test makes.
type step struct {
	flags  uint64
	sector uint64
	data   []byte
}

// logOf makes a log with sectors of 512 bytes.
func logOf(steps ...step) []byte {
	var out bytes.Buffer
	put := func(v any) {
		binary.Write(&out, binary.LittleEndian, v)
		out.Write(make([]byte, (512-out.Len()%512)%512))
	}
	put(superblock{magic, version, uint64(len(steps)), 512})
	for _, s := range steps {
		r := record{Sector: s.sector, Sectors: uint64(len(s.data) / 512), Flags: s.flags}
		if s.flags&Mark != 0 {
			r.Sectors, r.DataLen = 0, uint64(len(s.data))
		}
		put(r)
		if s.flags&Discard == 0 {
			put(s.data)
		}
	}
	return out.Bytes()
}

func fill(b byte, sectors int) []byte { return bytes.Repeat([]byte{b}, 512*sectors) }

// disk is one of 8 sectors.
type disk []byte

func (d disk) WriteAt(p []byte, at int64) (int, error) { return copy(d[at:], p), nil }

// sectors is the first byte of each sector.
func (d disk) sectors() (s string) {
	for at := 0; at < len(d); at += 512 {
		s += string(rune('0' + d[at]%10))
	}
	return s
}

func TestReplay(t *testing.T) {
	data := logOf(
		step{sector: 1, data: fill(1, 2)},
		step{flags: Mark, data: []byte("here")},
		step{flags: Flush},
		step{sector: 2, data: fill(2, 3)},
		step{flags: Discard, sector: 0, data: fill(0, 2)},
		step{flags: Flush | FUA, sector: 7, data: fill(3, 1)},
		step{sector: 0, data: fill(4, 1)},
	)
	l, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	epochs := l.Epochs()
	if len(epochs) != 3 {
		t.Fatalf("%d epochs; want 3", len(epochs))
	}
	d := disk(fill(9, 8))
	for i, want := range []string{"91199999", "00222993", "40222993"} {
		for _, e := range epochs[i] {
			if err := l.Apply(d, e, e.Size); err != nil {
				t.Fatal(err)
			}
		}
		if got := d.sectors(); got != want {
			t.Errorf("after epoch %d the disk is %s; want %s", i, got, want)
		}
	}
	torn := disk(fill(9, 8))
	if err := l.Apply(torn, epochs[1][0], 512); err != nil || torn.sectors() != "99299999" {
		t.Errorf("a torn write leaves %s, %v; want 99299999", torn.sectors(), err)
	}
}

func TestReadRefuses(t *testing.T) {
	good := logOf(step{sector: 1, data: fill(1, 2)})
	edit := func(at int, b byte) []byte {
		data := bytes.Clone(good)
		data[at] = b
		return data
	}
	for name, data := range map[string][]byte{
		"empty": nil, "magic": edit(0, 0), "version": edit(8, 2), "entries": edit(16, 9),
		"sector size": edit(25, 3), "cut": good[:len(good)-1], "far sector": edit(512+7, 0xff), "long": edit(512+15, 0xff),
	} {
		if _, err := Read(bytes.NewReader(data), int64(len(data))); err == nil {
			t.Errorf("%s: Read finds nothing wrong", name)
		}
	}
}

// TestQEMU lets QEMU write a log, and replays it: the same disk.
func TestQEMU(t *testing.T) {
	dir := t.TempDir()
	image, log := filepath.Join(dir, "disk"), filepath.Join(dir, "log")
	for _, name := range []string{image, log} {
		if err := os.WriteFile(name, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	open := "driver=blklogwrites,log-super-update-interval=1,file.driver=file,file.filename=" + image + ",log.driver=file,log.filename=" + log
	out, err := exec.Command(testkit.Tool(t, "qemu-io"), "--image-opts", open,
		"-c", "write -P 1 0 64k", "-c", "flush", "-c", "write -P 2 4k 512", "-c", "write -z 8k 4k", "-c", "flush", "-c", "write -P 3 128k 8k").CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-io: %v\n%s", err, out)
	}
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := Read(f, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	replayed := make(disk, 1<<20)
	for _, epoch := range l.Epochs() {
		for _, e := range epoch {
			if err := l.Apply(replayed, e, e.Size); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(replayed, want) || len(l.Epochs()) < 3 || replayed[4096] != 2 {
		t.Errorf("the log of %d entries replays to another disk than QEMU's", len(l.Entries))
	}
}

func FuzzRead(f *testing.F) {
	f.Add(logOf(step{sector: 1, data: fill(1, 2)}, step{flags: Flush}, step{flags: Discard, sector: 3, data: fill(0, 1)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, e := range l.Entries {
			if e.Offset < 0 || e.Size < 0 || e.Flags&Discard == 0 && e.data+e.Size > int64(len(data)) {
				t.Errorf("entry %+v is outside of a log of %d bytes", e, len(data))
			}
		}
	})
}
