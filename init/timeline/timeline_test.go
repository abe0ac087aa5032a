package timeline

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/api/pid1"
)

func TestSave(t *testing.T) {
	line := New(pid1.Boot{Version: "1", PID1Usec: 7})
	late := Now()
	line.Add(pid1.StageSystem, "late", late, errors.New("half done"))
	line.Add(pid1.StageInitramfs, "early", late-time.Second, nil)
	path := filepath.Join(t.TempDir(), "run/boot.json")
	for range 2 {
		if err := line.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got pid1.Boot
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(line.Boot(), got); diff != "" {
		t.Errorf("saved timeline (-want +got):\n%s", diff)
	}
	if got.Version != "1" || len(got.Steps) != 2 || got.Steps[0].Name != "early" || got.Steps[1].Error != "half done" {
		t.Errorf("timeline = %+v; want early before late, and late's error", got)
	}
	if early := got.Steps[0]; early.TookUsec < 1e6 || early.StartUsec+early.TookUsec > Now().Microseconds() {
		t.Errorf("early began at %d and took %d µs; want over a second, up to now", early.StartUsec, early.TookUsec)
	}
}
