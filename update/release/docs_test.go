package release

import (
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
)

// The example of the document is what the builder writes.
func TestDocumented(t *testing.T) {
	testkit.Example[Info](t, "../../docs/image-format.md", "image.json", "workloads")
}
