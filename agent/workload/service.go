// Package workload runs containers as Compose files describe them: package
// internal/compose reads the files, Supervisor keeps each service in the state that
// its restart policy asks for, Containerd does what the Supervisor says.
//
// What lives where, for a service called NAME (project-service, as Compose
// names it without the replica's number):
//
//	containerd, namespace ketch    container NAME with its writable layer
//	/ketch/workloads/NAME          its cgroup
//	/var/log/ketch/NAME.log        its output, written by the shim
//	/run/ketch/workloads/NAME.json its record of this boot: restarts, last exit
//
// The writable layer lasts as long as the service's definition, its image and
// the version of the OS do not change. Containers outlive ketchd: one that is
// killed and started again finds its containers running and adopts them. Only
// SIGTERM, which PID 1 sends on the way down, stops them.
//
// Left out: what package internal/compose leaves out, and pulling images from
// registries.
package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/ketch-os/ketch/internal/compose"
)

// digest names a container's definition: two containers with one digest are
// interchangeable. Whatever else a container is made of comes as extra.
func digest(s compose.Service, extra ...string) (string, error) {
	definition := s
	definition.Restart = compose.Restart{} // a new policy needs no new container
	definition.File = ""
	text, err := json.Marshal(struct {
		compose.Service
		Extra []string
	}{definition, extra})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
