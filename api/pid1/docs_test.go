package pid1

import (
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
)

// The examples of the documents are what PID 1 writes.
func TestDocumented(t *testing.T) {
	const (
		boot   = "../../docs/boot.md"
		record = "../../docs/boot-record.md"
		socket = "../../docs/control-socket.md"
	)
	testkit.Example[Boot](t, boot, "boot.json", "firmwareUsec", "loaderUsec", "steps.error")
	testkit.Example[GateReport](t, boot, "gate report", "checks.reason", "checks.excused")
	testkit.Example[Record](t, record, "record", "floor", "versions.failed", "versions.revoked", "versions.failedAt", "versions.words")
	testkit.Example[Run](t, record, "account", "fatal", "failure", "watchdogReset", "gate.*", "boot.*")
	testkit.Example[Status](t, socket, "status", "goingDown", "degraded", "services.lastExit", "services.reason", "gate.reason", "gate.excused", "boot.*", "record.*")
}
