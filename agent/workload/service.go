// Package workload runs containers as Compose files describe them: Parse reads
// the files, Supervisor keeps each service in the state that its restart policy
// asks for, Containerd does what the Supervisor says.
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
// Left out: everything that keys says nothing about, above all networks other
// than the host's, volumes, and pulling images from registries.
package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

const (
	// ConsoleLabel, when "true", has the service's output copied to the console.
	ConsoleLabel = "org.ketch.console"
	// EssentialLabel, when "true", makes the service a condition of a good boot.
	EssentialLabel = "ketch.essential"
)

// Service is one service of a Compose file.
type Service struct {
	Name        string   // project-service
	File        string   // the Compose file it comes from
	Image       string   // normalised reference: docker.io/library/demo:latest
	Entrypoint  []string // nil: the image's; empty: none
	Command     []string // nil: the image's; empty: none
	Environment []string // KEY=VALUE, sorted
	User        string
	WorkingDir  string
	ReadOnly    bool
	Labels      map[string]string
	Restart     Restart
	Limits      Limits
}

// Limits bound what the processes of a service may take together; 0 is no limit.
type Limits struct {
	Memory int64   // bytes (mem_limit)
	CPUs   float64 // (cpus)
	PIDs   int64   // processes and threads (pids_limit)
}

// Essential tells whether a boot is good only when the service is up.
func (s *Service) Essential() bool { return s.Labels[EssentialLabel] == "true" }

// Console tells whether the service's output is copied to the console.
func (s *Service) Console() bool { return s.Labels[ConsoleLabel] == "true" }

// digest names a container's definition: two containers with one digest are
// interchangeable. Whatever else a container is made of comes as extra.
func (s *Service) digest(extra ...string) (string, error) {
	definition := *s
	definition.Restart = Restart{} // a new policy needs no new container
	definition.File = ""
	text, err := json.Marshal(struct {
		Service
		Extra []string
	}{definition, extra})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
