package gate

import (
	"testing"

	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/init/machine"
)

// The boot loader's names are made to say what the record says.
func TestVerdict(t *testing.T) {
	ours := entry.Name{ID: "ketch_1.0", Counted: true, Left: 2, Done: 1}
	for _, test := range []struct {
		file   string
		tries  int
		failed bool
		want   string
	}{
		{"ketch_1.0+2-1.efi", 3, false, "ketch_1.0.efi"},
		{"ketch_1.0.efi", 3, false, "ketch_1.0.efi"},
		{"ketch_2.0.efi", 3, true, "ketch_2.0+0-3.efi"},
		{"ketch_2.0+3-0.efi", 3, true, "ketch_2.0+0-3.efi"},
		{"ketch_2.0+1-0.efi", 1, true, "ketch_2.0+0-1.efi"},
		{"ketch_2.0+0-5.efi", 3, true, "ketch_2.0+0-5.efi"},
		{"ketch_2.0+3-0.efi", 3, false, "ketch_2.0+3-0.efi"},
		{"ketch_1.0+2-1.efi", 3, true, "ketch_1.0.efi"}, // what runs, and is good, has not failed
	} {
		n, err := entry.Parse(test.file)
		if err != nil {
			t.Fatal(err)
		}
		wanted := func(n entry.Name) entry.Name { return verdict(n, ours, test.tries, test.failed) }
		if got := wanted(n).File(); got != test.want {
			t.Errorf("verdict(%s, failed %v) = %s; want %s", test.file, test.failed, got, test.want)
		}
		if got, want := differ([]entry.Name{n}, wanted), test.want != test.file; got != want {
			t.Errorf("differ(%s, failed %v) = %v; want %v", test.file, test.failed, got, want)
		}
	}
}

func TestBlessWithoutCounting(t *testing.T) {
	if err := Bless(machine.New()); err != nil {
		t.Errorf("Bless = %v; want nothing to do", err)
	}
}
