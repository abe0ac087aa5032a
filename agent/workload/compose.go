package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
)

// maxFile bounds a Compose file in bytes.
const maxFile = 1 << 20

// keys are the attributes of the Compose specification that this version acts
// on. Any other is refused, never ignored; x-… extensions are comments by the
// specification.
var keys = [...]tree.Path{
	"name", "version",
	"services.*.image",
	"services.*.entrypoint", "services.*.entrypoint[]",
	"services.*.command", "services.*.command[]",
	"services.*.cpus",
	"services.*.environment", "services.*.environment.*", "services.*.environment[]",
	"services.*.labels", "services.*.labels.*", "services.*.labels[]",
	"services.*.mem_limit",
	"services.*.network_mode",
	"services.*.pids_limit",
	"services.*.read_only",
	"services.*.restart",
	"services.*.user",
	"services.*.working_dir",
}

// names of projects and services: they become names of containers and files.
var names = regexp.MustCompile(`^[a-z0-9]+([_-][a-z0-9]+)*$`)

// Load reads every Compose file of a directory (*.yaml, *.yml). A bad file
// costs only its own services: the others are returned together with the error.
// A directory that does not exist holds no services.
func Load(dir string) ([]Service, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var services []Service
	var problems []error
	for _, entry := range entries {
		if ext := filepath.Ext(entry.Name()); ext != ".yaml" && ext != ".yml" {
			continue
		}
		found, err := loadFile(filepath.Join(dir, entry.Name()))
		problems = append(problems, err)
		for _, service := range found {
			same := func(s Service) bool { return s.Name == service.Name }
			if i := slices.IndexFunc(services, same); i >= 0 {
				problems = append(problems, fmt.Errorf("%s: service %s is already defined in %s", service.File, service.Name, services[i].File))
				continue
			}
			services = append(services, service)
		}
	}
	return services, errors.Join(problems...)
}

func loadFile(path string) ([]Service, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: %d bytes are over the limit of %d", path, info.Size(), maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}

// Parse reads one Compose file. Its services come sorted by name. Errors begin
// with the path and name the field.
func Parse(path string, text []byte) ([]Service, error) {
	project, err := parse(path, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var services []Service
	for _, name := range project.ServiceNames() {
		service, err := convert(project.Name, project.Services[name])
		if err != nil {
			return nil, fmt.Errorf("%s: services.%s.%w", path, name, err)
		}
		service.File = path
		services = append(services, service)
	}
	return services, nil
}

// parse has compose-go read the file: schema, short and long forms. Variables
// have no values here, other files are not read.
func parse(path string, text []byte) (*types.Project, error) {
	base := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	var refused []error
	project, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  filepath.Dir(path),
		ConfigFiles: []types.ConfigFile{{Filename: path, Content: text}},
		Environment: types.Mapping{},
	}, func(o *loader.Options) {
		o.SetProjectName(loader.NormalizeProjectName(base), false)
		o.SkipInclude, o.SkipExtends = true, true
		o.Interpolate.Substitute = substitute
	}, loader.WithSupportedAttributes(keys[:], func(found []loader.UnsupportedAttribute) {
		for _, attribute := range found {
			refused = append(refused, fmt.Errorf("%s is not supported in this version", attribute.Path))
		}
	}))
	if len(refused) > 0 {
		return nil, errors.Join(refused...)
	}
	return project, err
}

// substitute replaces $VARIABLES as Compose does, but refuses one that would
// silently become nothing.
func substitute(text string, values template.Mapping) (string, error) {
	for name, variable := range template.ExtractVariables(map[string]any{"": text}, template.DefaultPattern) {
		if variable.DefaultValue == "" && variable.PresenceValue == "" && !variable.Required {
			return "", fmt.Errorf("variable %s has no value here; write $$ for a dollar sign", name)
		}
	}
	return template.Substitute(text, values)
}

// convert takes over what is supported. Its errors begin with the field.
func convert(project string, from types.ServiceConfig) (Service, error) {
	for _, name := range []string{project, from.Name} {
		if !names.MatchString(name) {
			return Service{}, fmt.Errorf("name: %q: only lower-case letters and digits, joined by - or _, are allowed", name)
		}
	}
	to := Service{
		Name:       project + "-" + from.Name,
		Entrypoint: from.Entrypoint,
		Command:    from.Command,
		User:       from.User,
		WorkingDir: from.WorkingDir,
		ReadOnly:   from.ReadOnly,
		Labels:     from.Labels,
	}
	if len(to.Name) > 76 {
		return Service{}, fmt.Errorf("name: %s has more than 76 characters", to.Name)
	}
	var err error
	if to.Image, err = imageName(from.Image); err != nil {
		return Service{}, fmt.Errorf("image: %w", err)
	}
	if to.Environment, err = environment(from.Environment); err != nil {
		return Service{}, fmt.Errorf("environment.%w", err)
	}
	if to.Restart, err = ParseRestart(from.Restart); err != nil {
		return Service{}, fmt.Errorf("restart: %w", err)
	}
	if to.Limits, err = limits(from); err != nil {
		return Service{}, err
	}
	if from.NetworkMode != "host" {
		return Service{}, fmt.Errorf("network_mode: %q is not supported in this version: it must be host", from.NetworkMode)
	}
	return to, nil
}

const (
	// minMemory is the least that a container can start with: it begins as runc.
	minMemory = 6 << 20
	// minCPUs and maxCPUs are what the kernel takes as a quota of 100 ms.
	minCPUs, maxCPUs = 0.01, 8192
)

// limits takes over the limits of a service. Its errors begin with the field.
func limits(from types.ServiceConfig) (Limits, error) {
	to := Limits{Memory: int64(from.MemLimit), CPUs: float64(from.CPUS), PIDs: from.PidsLimit}
	switch {
	case to.Memory != 0 && to.Memory < minMemory:
		return Limits{}, fmt.Errorf("mem_limit: %d bytes are less than the %d that a container takes to start", to.Memory, minMemory)
	case to.CPUs != 0 && !(to.CPUs >= minCPUs && to.CPUs <= maxCPUs):
		return Limits{}, fmt.Errorf("cpus: %v is not between %v and %v", to.CPUs, minCPUs, maxCPUs)
	case to.PIDs < -1:
		return Limits{}, fmt.Errorf("pids_limit: %d is neither a number of processes nor -1, none", to.PIDs)
	}
	to.PIDs = max(to.PIDs, 0)
	return to, nil
}

// imageName completes a reference as Docker does: demo → docker.io/library/demo:latest.
func imageName(text string) (string, error) {
	named, err := reference.ParseDockerRef(text)
	if err != nil {
		return "", err
	}
	return named.String(), nil
}

// environment turns the mapping into a sorted list.
func environment(from types.MappingWithEquals) ([]string, error) {
	var list []string
	for key, value := range from {
		if value == nil {
			return nil, fmt.Errorf("%s has no value, and there is no environment to take one from", key)
		}
		list = append(list, key+"="+*value)
	}
	slices.Sort(list)
	return list, nil
}
