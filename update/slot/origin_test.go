package slot

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ketch-os/ketch/disk/fat"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/layout"
)

func TestCountedIn(t *testing.T) {
	esp := gpt.MustParseGUID("11111111-2222-3333-4444-555555555555")
	table := &gpt.Table{SectorSize: 512, Partitions: []gpt.Partition{
		{Type: gpt.MustParseGUID(layout.TypeESP), ID: esp, First: 2048, Last: 2048 + 2*layout.SizeBIOS/512*16},
	}}
	p := table.Partitions[0]
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = fat.Write(io.NewOffsetWriter(f, p.Offset(512)), fat.Options{
		Size: p.Size(512), Label: layout.LabelESP, Time: time.Unix(1_800_000_000, 0),
		Files: []fat.File{{Path: "EFI/Linux/ketch_1.0+2-1.efi", Data: []byte("x")}, {Path: "EFI/Linux/d+2-1.efi/x"}},
	})
	if err = errors.Join(err, f.Truncate(p.Offset(512)+p.Size(512))); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		`\EFI\Linux\ketch_1.0+2-1.efi`: true, `\efi\linux\KETCH_1.0+2-1.EFI`: true,
		`\EFI\Linux\ketch_1.0+3-0.efi`: false, `\EFI\Linux\d+2-1.efi`: false, "": false, `\`: false, `\..\x`: false, "\x00": false,
	} {
		o := Origin{ESP: esp, CountPath: path}
		if got := o.countedIn(f, table); got != want {
			t.Errorf("countedIn with the count in %q = %v; want %v", path, got, want)
		}
	}
	if (Origin{ESP: gpt.GUID{1}, CountPath: `\EFI\Linux\ketch_1.0+2-1.efi`}).countedIn(f, table) {
		t.Error("countedIn of a disk that has another ESP = true; want false")
	}
	if _, err := f.WriteAt(make([]byte, 4096), p.Offset(512)); err != nil {
		t.Fatal(err)
	}
	if (Origin{ESP: esp, CountPath: `\EFI\Linux\ketch_1.0+2-1.efi`}).countedIn(f, table) {
		t.Error("countedIn of an ESP that is no FAT = true; want false")
	}
}

func TestOriginIs(t *testing.T) {
	esp := gpt.MustParseGUID("11111111-2222-3333-4444-555555555555")
	table := &gpt.Table{Partitions: []gpt.Partition{{Type: gpt.GUID{1}, ID: esp}}}
	for _, test := range []struct {
		origin Origin
		want   bool
	}{
		{Origin{}, false}, {Origin{ESP: esp}, true}, {Origin{ESP: gpt.GUID{2}}, false},
		{Origin{ESP: esp, Disk: "vda"}, true}, {Origin{ESP: esp, Disk: "vdb"}, false},
	} {
		if got := test.origin.is("vda", table); got != test.want {
			t.Errorf("%+v is vda: %v; want %v", test.origin, got, test.want)
		}
	}
}
