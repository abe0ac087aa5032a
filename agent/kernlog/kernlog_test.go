package kernlog

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ketch-os/ketch/linux/kmsg"
)

// script is a kernel log that ends.
type script struct {
	records []kmsg.Record
}

func (s *script) Next() (kmsg.Record, error) {
	if len(s.records) == 0 {
		return kmsg.Record{}, io.EOF
	}
	r := s.records[0]
	s.records = s.records[1:]
	return r, nil
}

func (s *script) Close() error { return nil }

func TestCopy(t *testing.T) {
	dir := t.TempDir()
	k := Keeper{Log: filepath.Join(dir, "kernel.log"), Mark: filepath.Join(dir, "mark"), Title: "Ketch 1.0, boot abc"}
	all := []kmsg.Record{
		{Level: kmsg.Info, Sequence: 0, Time: 0, Text: "Linux version 6.1"},
		{Level: kmsg.Warning, Sequence: 1, Time: 1500 * time.Microsecond, Text: "MTRR"},
		{Level: kmsg.Notice, Sequence: 5, Time: 12345678 * time.Microsecond, Text: "ketch: ready"},
		{Level: kmsg.Emergency, Sequence: 6, Time: 13 * time.Second, Text: "late"},
	}
	// ketchd is killed after the second record, and again at the end; each new one
	// finds the whole log of the kernel.
	for _, seen := range []int{2, 4, 4} {
		if err := k.copy(t.Context(), &script{all[:seen]}); err != io.EOF {
			t.Fatalf("copy = %v; want the end of the script", err)
		}
	}
	want := `-- Ketch 1.0, boot abc
[    0.000000] info   Linux version 6.1
[    0.001500] warn   MTRR
-- 3 records are missing
[   12.345678] notice ketch: ready
[   13.000000] emerg  late
`
	got, err := os.ReadFile(k.Log)
	if string(got) != want || err != nil {
		t.Errorf("log = %v\n%s\nwant\n%s", err, got, want)
	}
	// A new boot has no mark, and appends.
	os.Remove(k.Mark)
	k.Title = "boot def"
	k.copy(t.Context(), &script{all[:1]})
	if got, _ := os.ReadFile(k.Log); string(got) != want+"-- boot def\n[    0.000000] info   Linux version 6.1\n" {
		t.Errorf("log after another boot:\n%s", got)
	}
}

func TestCopyEnds(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k := Keeper{Log: filepath.Join(dir, "kernel.log"), Mark: filepath.Join(dir, "mark")}
	if err := k.copy(ctx, &script{}); err != nil {
		t.Errorf("copy = %v; want nil once its context has ended", err)
	}
	k.Log = filepath.Join(dir, "none/kernel.log")
	if err := k.copy(t.Context(), &script{}); err == nil {
		t.Error("copy to no directory = nil; want an error")
	}
}
