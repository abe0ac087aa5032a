// Package compose reads Compose files as far as Ketch acts on them (Compose
// specification, github.com/compose-spec/compose-spec). The builder and ketchd
// both use it: what the builder accepts, the machine accepts.
//
// An attribute that nothing acts on is refused, never ignored. The list keys has
// all that are supported. Left out are above all networks other than the host's,
// volumes, and other files: include, extends, env_file.
//
// One fault refuses the whole file. Each fault names the file, the line and the
// field. What can still be told of the services in a refused file is told: a
// service that could not be read must not count as one that was never asked for.
package compose

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// MaxFile bounds a Compose file in bytes.
const MaxFile = 1 << 20

// The labels that Ketch acts on. A label that begins with LabelPrefix and is
// none of them is refused: it would be one that is spelt wrong.
const (
	// LabelPrefix is the name space of the labels, in reverse DNS as Docker asks
	// for ("Docker object labels", Key format recommendations).
	LabelPrefix = "org.ketch."
	// ConsoleLabel, when "true", has the service's output copied to the console.
	ConsoleLabel = LabelPrefix + "console"
	// EssentialLabel, when "true", makes the service a condition of a good boot.
	EssentialLabel = LabelPrefix + "essential"
)

// Service is one service of a Compose file.
type Service struct {
	Name        string   // project-service
	Key         string   `json:"-"` // the service's own name in its file
	File        string   // the Compose file it comes from
	Image       string   // normalised reference: docker.io/library/demo:latest
	Entrypoint  []string // nil: the image's; empty: none
	Command     []string // nil: the image's; empty: none
	Environment []string // KEY=VALUE, sorted
	User        string
	WorkingDir  string
	ReadOnly    bool
	HostIDs     bool // its users are the host's: root is root (userns_mode: host)
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

// Fault is one thing that is wrong with a Compose file.
type Fault struct {
	File  string
	Line  int    // 0: not known
	Field string // "services.web.ports"; empty: not known, or the file as a whole
	Err   error
}

// Error is "FILE:LINE: FIELD: cause", as far as it is known.
func (f *Fault) Error() string {
	text := f.File
	if f.Line > 0 {
		text = fmt.Sprintf("%s:%d", text, f.Line)
	}
	if f.Field != "" {
		text += ": " + f.Field
	}
	return text + ": " + f.Err.Error()
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Set is what several Compose files ask for. The zero value asks for nothing.
type Set struct {
	Services []Service
	Refused  []Refused
}

// Err joins what is wrong with the files; nil when all were accepted.
func (s *Set) Err() error {
	var all []error
	for _, r := range s.Refused {
		for _, err := range r.Faults {
			if !slices.Contains(all, err) {
				all = append(all, err)
			}
		}
	}
	return errors.Join(all...)
}

// IsFile tells whether a file of this name in a directory of Compose files is read.
func IsFile(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".yaml" || ext == ".yml"
}

// Load reads every Compose file of a directory. A bad file costs only its own
// services. A directory that cannot be read counts as a bad file, one that does
// not exist holds no services.
func Load(dir string) *Set {
	set := new(Set)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		set.refuse(dir, nil, cause(err))
	}
	for _, entry := range entries {
		if IsFile(entry.Name()) {
			path := filepath.Join(dir, entry.Name())
			text, err := readFile(path)
			set.add(path, text, err)
		}
	}
	return set
}

// ReadFile reads the Compose file at path.
func ReadFile(path string) (text []byte, err error) {
	if text, err = readFile(path); err != nil {
		return nil, &Fault{File: path, Err: err}
	}
	return text, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, cause(err)
	}
	if info.Size() > MaxFile {
		return nil, tooLarge(info.Size())
	}
	text, err := os.ReadFile(path)
	return text, cause(err)
}

func tooLarge(size int64) error {
	return fmt.Errorf("%d bytes are over the limit of %d", size, MaxFile)
}

// cause leaves out the path, which a Fault names.
func cause(err error) error {
	if path := new(os.PathError); errors.As(err, &path) {
		return fmt.Errorf("%s: %w", path.Op, path.Err)
	}
	return err
}

// Add reads one more Compose file. Its path gives the project its name, unless
// the file has one.
func (s *Set) Add(path string, text []byte) { s.add(path, text, nil) }

func (s *Set) add(path string, text []byte, err error) {
	var services []Service
	if err == nil {
		services, err = Parse(path, text)
	}
	if err != nil {
		s.refuse(path, text, err)
		return
	}
	for _, service := range services {
		same := func(other Service) bool { return other.Name == service.Name }
		i := slices.IndexFunc(s.Services, same)
		if i < 0 {
			s.Services = append(s.Services, service)
			continue
		}
		field := "services." + service.Key
		s.Refused = append(s.Refused, Refused{Name: service.Name, File: path, Essential: service.Essential(), Faults: []error{
			&Fault{File: path, Line: Line(text, field), Field: field, Err: fmt.Errorf("service %s is already defined in %s", service.Name, s.Services[i].File)},
		}})
	}
}
