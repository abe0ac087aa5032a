package node

import (
	"testing"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/testkit"
)

// The examples of the document are what ketchd writes.
func TestDocumented(t *testing.T) {
	const api = "../../docs/api.md"
	testkit.Example[Status](t, api, "status", "problems", "system", "clock", "links.dns", "workloads.exit", "workloads.error")
	testkit.Example[pid1.Previous](t, api, "previous", "run")
	testkit.Example[LogList](t, api, "logs")
	testkit.Example[Error](t, api, "error")
}
