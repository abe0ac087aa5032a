package compose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
	"github.com/sirupsen/logrus"
)

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
	"services.*.userns_mode",
	"services.*.working_dir",
}

// names of projects and services: they become names of containers and files.
var names = regexp.MustCompile(`^[a-z0-9]+([_-][a-z0-9]+)*$`)

// Parse reads one Compose file. Its services come sorted by name. The errors that
// are joined in its error are each a *Fault.
func Parse(path string, text []byte) ([]Service, error) {
	if len(text) > MaxFile {
		return nil, &Fault{File: path, Err: tooLarge(int64(len(text)))}
	}
	doc, err := readYAML(text)
	if err != nil {
		return nil, doc.fault(path, err)
	}
	project, err := doc.load(path, text)
	if err != nil {
		return nil, err
	}
	var services []Service
	var faults []error
	for _, name := range project.ServiceNames() {
		service, found := convert(project.Name, project.Services[name])
		for _, fault := range found {
			fault.File, fault.Field = path, "services."+name+"."+fault.Field
			fault.Line = doc.line(fault.Field)
			faults = append(faults, fault)
		}
		service.File = path
		services = append(services, service)
	}
	if len(faults) > 0 {
		return nil, joined(faults)
	}
	return services, nil
}

// joined joins faults in the order of their lines.
func joined(faults []error) error {
	line := func(err error) int {
		if fault, ok := errors.AsType[*Fault](err); ok {
			return fault.Line
		}
		return 0
	}
	slices.SortStableFunc(faults, func(a, b error) int { return cmp.Compare(line(a), line(b)) })
	return errors.Join(faults...)
}

// load has compose-go read the file: schema, short and long forms. Variables
// have no values here, other files are not read.
func (d document) load(path string, text []byte) (*types.Project, error) {
	var refused []error
	defer quiet()()
	project, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  filepath.Dir(path),
		ConfigFiles: []types.ConfigFile{{Filename: path, Content: text}},
		Environment: types.Mapping{},
	}, func(o *loader.Options) {
		o.SetProjectName(pathProject(path), false)
		o.SkipInclude, o.SkipExtends = true, true
		o.Interpolate.Substitute = substitute
	}, loader.WithSupportedAttributes(keys[:], func(found []loader.UnsupportedAttribute) {
		for _, attribute := range found {
			field := strings.ReplaceAll(string(attribute.Path), dot, ".")
			refused = append(refused, &Fault{File: path, Line: d.line(plainField(field)), Field: field, Err: notSupported(field)})
		}
	}))
	if len(refused) > 0 {
		return nil, joined(refused)
	}
	if err != nil {
		return nil, d.fault(path, err)
	}
	return project, nil
}

// dot stands for a dot in a key where compose-go writes a path.
const dot = "👻"

// quietly lets one at a time keep compose-go's log to itself.
var quietly sync.Mutex

// quiet keeps what compose-go logs off the standard error until the function that it
// returns is called: that version is obsolete, in a form that is not ours. No option
// of compose-go does that.
func quiet() func() {
	quietly.Lock()
	out := logrus.StandardLogger().Out
	logrus.SetOutput(io.Discard)
	return func() {
		logrus.SetOutput(out)
		quietly.Unlock()
	}
}

// errNotSupported is the cause of an attribute that nothing acts on.
var errNotSupported = errors.New("not supported in this version")

// cures are what to do in place of attributes that people miss first.
var cures = map[string]string{
	"ports":       "containers use the machine's ports (network_mode: host); drop it, and reach them with ketch run --port",
	"volumes":     "nothing is mounted into a container; what it reads belongs into its image",
	"build":       "build the image before, save it, and list it under workloads: images in the definition, such as archive:FILE",
	"healthcheck": "drop it: restart: says what is started again, and the label " + EssentialLabel + " makes a boot good only with the service",
}

// cured is an error with a cure.
type cured struct {
	error
	cure string
}

func (c cured) Unwrap() error { return c.error }

// Hint is the cure.
func (c cured) Hint() string { return c.cure }

// notSupported is the cause of a field that nothing acts on.
func notSupported(field string) error {
	parts := strings.Split(field, ".")
	if cure := cures[parts[min(2, len(parts)-1)]]; cure != "" {
		return cured{errNotSupported, cure}
	}
	return errNotSupported
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

// convert takes over what is supported. The fields of its faults begin at the
// service.
func convert(project string, from types.ServiceConfig) (to Service, faults []*Fault) {
	fail := func(field string, err error) {
		if err != nil {
			faults = append(faults, &Fault{Field: field, Err: err})
		}
	}
	to = Service{
		Name:       project + "-" + from.Name,
		Key:        from.Name,
		Entrypoint: from.Entrypoint,
		Command:    from.Command,
		User:       from.User,
		WorkingDir: from.WorkingDir,
		ReadOnly:   from.ReadOnly,
		Labels:     from.Labels,
	}
	fail("name", checkName(project, from.Name))
	var field string
	var err error
	to.Image, err = ImageName(from.Image)
	fail("image", err)
	to.Environment, field, err = environment(from.Environment)
	fail(field, err)
	to.Restart, err = ParseRestart(from.Restart)
	fail("restart", err)
	for _, key := range slices.Sorted(maps.Keys(from.Labels)) {
		fail("labels."+key, checkLabel(key, from.Labels[key]))
	}
	if from.NetworkMode != "host" {
		fail("network_mode", fmt.Errorf("%q is not supported in this version: it must be host", from.NetworkMode))
	}
	to.HostIDs, err = hostIDs(from.UserNSMode)
	fail("userns_mode", err)
	to.Limits, field, err = limits(from)
	fail(field, err)
	return to, faults
}

// maxName bounds the name of a container, in bytes.
const maxName = 76

func checkName(project, service string) error {
	for _, name := range []string{project, service} {
		if !names.MatchString(name) {
			return fmt.Errorf("%q: only lower-case letters and digits, joined by - or _, are allowed", name)
		}
	}
	if name := project + "-" + service; len(name) > maxName {
		return fmt.Errorf("%s has more than %d characters", name, maxName)
	}
	return nil
}

// checkLabel refuses a label that looks like one of Ketch's and is none.
func checkLabel(key, value string) error {
	switch {
	case key == ConsoleLabel, key == EssentialLabel:
		if value != "true" && value != "false" {
			return fmt.Errorf("%q is neither true nor false", value)
		}
	case strings.HasPrefix(key, LabelPrefix):
		return fmt.Errorf("no such label; there are %s and %s", ConsoleLabel, EssentialLabel)
	case strings.HasPrefix(key, "ketch."):
		return fmt.Errorf("no such label; Ketch's begin with %s: %s and %s", LabelPrefix, ConsoleLabel, EssentialLabel)
	}
	return nil
}

// hostIDs takes over the user namespace of a service: one of its own unless it asks
// for the host's.
func hostIDs(mode string) (bool, error) {
	if mode != "" && mode != "host" {
		return false, fmt.Errorf("%q is not supported in this version: it must be host, or left out for ids of the container's own", mode)
	}
	return mode == "host", nil
}

const (
	// minMemory is the least that a container can start with: it begins as runc.
	minMemory = 6 << 20
	// minCPUs and maxCPUs are what the kernel takes as a quota of 100 ms.
	minCPUs, maxCPUs = 0.01, 8192
)

// limits takes over the limits of a service. field is the one that err is about.
func limits(from types.ServiceConfig) (to Limits, field string, err error) {
	to = Limits{Memory: int64(from.MemLimit), CPUs: float64(from.CPUS), PIDs: from.PidsLimit}
	switch {
	case to.Memory != 0 && to.Memory < minMemory:
		return Limits{}, "mem_limit", fmt.Errorf("%d bytes are less than the %d that a container takes to start", to.Memory, minMemory)
	case to.CPUs != 0 && !(to.CPUs >= minCPUs && to.CPUs <= maxCPUs):
		return Limits{}, "cpus", fmt.Errorf("%v is not between %v and %v", from.CPUS, minCPUs, maxCPUs)
	case to.PIDs < -1:
		return Limits{}, "pids_limit", fmt.Errorf("%d is neither a number of processes nor -1, none", to.PIDs)
	}
	to.PIDs = max(to.PIDs, 0)
	return to, "", nil
}

// ImageName completes a reference as Docker does: demo → docker.io/library/demo:latest.
func ImageName(text string) (string, error) {
	named, err := reference.ParseDockerRef(text)
	if err != nil {
		return "", err
	}
	return named.String(), nil
}

// environment turns the mapping into a sorted list. field is the one that err is
// about.
func environment(from types.MappingWithEquals) (list []string, field string, err error) {
	for _, key := range slices.Sorted(maps.Keys(from)) {
		if from[key] == nil {
			return nil, "environment." + key, errors.New("no value, and there is no environment to take one from")
		}
		list = append(list, key+"="+*from[key])
	}
	return list, "", nil
}
