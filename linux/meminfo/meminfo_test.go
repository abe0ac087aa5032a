package meminfo

import (
	"os"
	"testing"
	"testing/fstest"
)

const (
	meminfo = "MemTotal:         491692 kB\nMemFree:   1 kB\nMemAvailable:     450000 kB\nHugePages_Total:       0\n"
	iomem   = "00000000-00000fff : Reserved\n00100000-1fffffff : System RAM\n  01800000-01ffffff : Kernel code\n  02000000-020fffff : Kernel bss\n"
	hidden  = "00000000-00000000 : System RAM\n  00000000-00000000 : Kernel code\n"
)

// proc is a /proc with these two files; an empty one is missing.
func proc(meminfo, iomem string) fstest.MapFS {
	files := fstest.MapFS{}
	for name, text := range map[string]string{"meminfo": meminfo, "iomem": iomem} {
		if text != "" {
			files[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return files
}

func TestRead(t *testing.T) {
	for _, test := range []struct {
		name, meminfo, iomem string
		want                 Memory // its zero value: an error
	}{
		{"root", meminfo, iomem, Memory{511 << 10, 450000}},
		{"another user", meminfo, hidden, Memory{491692, 450000}},
		{"no meminfo", "", iomem, Memory{}},
		{"no iomem", meminfo, "", Memory{}},
		{"nothing available", "MemTotal: 1 kB\n", iomem, Memory{}},
		{"no number", "MemTotal: x kB\nMemAvailable: 1 kB\n", iomem, Memory{}},
		{"no addresses", meminfo, "x : System RAM\n", Memory{}},
	} {
		got, err := Read(proc(test.meminfo, test.iomem))
		if got != test.want || (err == nil) != (test.want != Memory{}) {
			t.Errorf("%s: Read = %+v, %v; want %+v", test.name, got, err, test.want)
		}
	}
	if used := (Memory{511 << 10, 450000}).UsedKiB(); used != 511<<10-450000 {
		t.Errorf("in use = %d KiB", used)
	}
}

func TestRAM(t *testing.T) {
	given, image, err := RAM(proc(meminfo, iomem))
	if given != 511<<10 || image != 9<<10 || err != nil {
		t.Errorf("RAM = %d, %d, %v; want %d, %d", given, image, err, 511<<10, 9<<10)
	}
}

func TestThisComputer(t *testing.T) {
	if got, err := Read(os.DirFS("/proc")); err != nil || got.GivenKiB <= 0 || got.UsedKiB() >= got.GivenKiB {
		t.Errorf("Read = %+v, %v", got, err)
	}
}
