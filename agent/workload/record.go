package workload

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ketch-os/ketch/internal/atomicfile"
)

// record is what is remembered of a service while the machine is up, so that a
// restart of ketchd neither forgets restarts nor repeats what is done. It lives
// on a tmpfs: a boot starts afresh, and a torn write cannot outlast a power cut.
type record struct {
	Restarts int     `json:"restarts"`       // starts after the first on this boot
	Failures int     `json:"failures"`       // exits in a row without having run well
	Exit     *uint32 `json:"exit,omitempty"` // status of the last exit
	Done     string  `json:"done,omitempty"` // digest of the definition that has exited for good
}

// loadRecord reads the record of a service; a new one when there is none.
func loadRecord(dir, name string) (record, error) {
	var r record
	text, err := os.ReadFile(recordPath(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}

// save replaces the record of a service.
func (r record) save(dir, name string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return atomicfile.WriteFile(recordPath(dir, name), text, 0o644)
}

func recordPath(dir, name string) string { return filepath.Join(dir, name+".json") }
