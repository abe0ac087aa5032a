package gate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ketch/disk/gpt"
	"ketch/init/machine"
	"ketch/layout"
)

func TestWait(t *testing.T) {
	var up atomic.Bool
	g := New([]Check{
		{"containerd serves", func() error { return nil }},
		{"ketchd is ready", func() error {
			if !up.Load() {
				return errors.New("starting")
			}
			return nil
		}},
	})
	err := g.Wait(30*time.Millisecond, nil)
	if err == nil || !strings.Contains(err.Error(), "ketchd is ready: starting") || strings.Contains(err.Error(), "containerd") {
		t.Errorf("Wait = %v; want it to name the check that does not hold", err)
	}
	report := g.Report()
	if !report[0].Passed || report[0].After == 0 || report[1].Passed || report[1].Reason != "starting" {
		t.Errorf("report = %+v; want containerd passed, ketchd starting", report)
	}
	time.AfterFunc(30*time.Millisecond, func() { up.Store(true) })
	if err := g.Wait(10*time.Second, nil); err != nil {
		t.Errorf("Wait = %v", err)
	}
	if report := g.Report(); !report[1].Passed || report[1].Reason != "" {
		t.Errorf("report = %+v; want all passed", report)
	}
}

func TestWaitStops(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	g := New([]Check{{"never", func() error { return errors.New("no") }}})
	if err := g.Wait(time.Minute, stop); !errors.Is(err, ErrStopped) {
		t.Errorf("Wait = %v; want ErrStopped", err)
	}
}

func TestRemoveCounter(t *testing.T) {
	for _, test := range []struct {
		name, path   string
		before, want []string
		fails        bool
	}{
		{"counted", `\EFI\Linux\ketch_1.0+2-1.efi`, []string{"ketch_1.0+2-1.efi", "ketch_0.9.efi"}, []string{"ketch_0.9.efi", "ketch_1.0.efi"}, false},
		{"no counter", `\EFI\Linux\ketch_1.0.efi`, []string{"ketch_1.0.efi"}, []string{"ketch_1.0.efi"}, false},
		{"renamed already", `\EFI\Linux\ketch_1.0+2-1.efi`, []string{"ketch_1.0.efi"}, []string{"ketch_1.0.efi"}, false},
		{"both there", `\EFI\Linux\ketch_1.0+2-1.efi`, []string{"ketch_1.0+2-1.efi", "ketch_1.0.efi"}, []string{"ketch_1.0.efi"}, false},
		{"gone", `\EFI\Linux\ketch_1.0+2-1.efi`, []string{"ketch_0.9.efi"}, []string{"ketch_0.9.efi"}, true},
		{"climbs out", `\..\..\EFI\Linux\ketch_1.0+2-1.efi`, []string{"ketch_1.0+2-1.efi"}, []string{"ketch_1.0.efi"}, false},
		{"no entry", `\EFI\Linux\shell.bin`, []string{"shell.bin"}, []string{"shell.bin"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, layout.ESPEntries)
			os.MkdirAll(dir, 0o755)
			for _, file := range test.before {
				os.WriteFile(filepath.Join(dir, file), nil, 0o644)
			}
			if err := removeCounter(root, test.path); (err != nil) != test.fails {
				t.Errorf("removeCounter = %v; want an error: %v", err, test.fails)
			}
			var got []string
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				got = append(got, e.Name())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFindESP(t *testing.T) {
	const id = "11111111-2222-3333-4444-555555555555"
	table := &gpt.Table{Partitions: []gpt.Partition{
		{Type: gpt.MustParseGUID(layout.TypeESP), ID: gpt.MustParseGUID("99999999-2222-3333-4444-555555555555")},
		{Type: gpt.MustParseGUID(layout.TypeESP), ID: gpt.MustParseGUID(id)},
	}}
	for in, want := range map[string]int{id: 2, "": 1, "00000000-2222-3333-4444-555555555555": 0} {
		if got := findESP(table, in); got != want {
			t.Errorf("findESP(%q) = %d; want %d", in, got, want)
		}
	}
}

func TestBlessWithoutCounting(t *testing.T) {
	if err := Bless(machine.New()); err != nil {
		t.Errorf("Bless = %v; want nothing to do", err)
	}
}
