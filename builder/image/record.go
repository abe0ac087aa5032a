package image

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/ketch-os/ketch/builder/cache"

	"github.com/ketch-os/ketch/builder/output"
)

// record stands beside an image, in FILE.json: what it was built from, and how
// the file looked when it was finished. An image whose inputs are the same, and
// which nobody has touched since, is not built again.
type record struct {
	Inputs string `json:"inputs"` // SHA-256 of everything that decides the image's bytes
	File   string `json:"file"`   // the stamp of the image: see cache.Stamp
	Result Result `json:"result"`
}

func recordPath(image string) string { return image + ".json" }

// inputs digests what decides the image's bytes: the definition, the container
// images, the certificate that the signing key belongs to, what enrols it, and
// this program.
func (b *build) inputs() (string, error) {
	program, err := digestSelf()
	if err != nil {
		return "", err
	}
	d := *b.Definition
	d.File, d.Images, d.Workloads = "", nil, nil // where the definition lies does not matter
	var digests []string
	for i, img := range b.images {
		digests = append(digests, b.Definition.Images[i].Ref, img.Digest.String())
	}
	data, err := json.Marshal([]any{d, digests, b.cargo.inputs(), program, b.Keys.Development, b.Keys.DB.Certificate.Raw, b.enrol, b.Unsigned})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(data)), nil
}

func digestSelf() (string, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}

// upToDate returns the result of the build that gave the image, when another
// would give the same.
func upToDate(path, inputs string) (*Result, bool) {
	data, err := os.ReadFile(recordPath(path))
	if err != nil {
		return nil, false
	}
	var r record
	if json.Unmarshal(data, &r) != nil || r.Inputs != inputs {
		return nil, false
	}
	stamp, err := cache.StampOf(path)
	if err != nil || stamp.String() != r.File {
		return nil, false
	}
	r.Result.UpToDate = true
	return &r.Result, true
}

// writeRecord notes what the image was built from. An image that is newer than
// its record is built again, so a crash in between costs time and nothing else.
func writeRecord(path, inputs string, result Result) error {
	stamp, err := cache.StampOf(path)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(record{inputs, stamp.String(), result}, "", "  ")
	if err != nil {
		return err
	}
	return output.WriteFile(recordPath(path), append(data, '\n'))
}
