// Package platform finds out where the machine runs, and asks what it is told there:
// its user data, its SSH keys, its name.
//
//	qemu        a file of fw_cfg: opt/org.ketch.config, opt/com.coreos/config
//	metal       kernel parameter ketch.config=URL
//	ec2         Amazon EC2: the instance metadata service, version 2 only
//	gce         Google Compute Engine: the metadata server
//	rackspace   the config drive, with an image made for it; so is
//	onmetal
//	openstack   config drive, then the metadata service
//	nocloud     a volume labelled cidata
//	ignition    a volume labelled ignition
//
// The kernel parameter ketch.platform=NAME decides; NAME may be none. Where nothing is
// found nothing is asked, and nothing is waited for.
//
// Each platform is a file. What comes from one may be anything: it is bounded, parsed by
// pure functions, and nothing of it is believed that it does not need to be.
package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/ketch-os/ketch/agent/fetch"
	"github.com/ketch-os/ketch/internal/config"
	"github.com/ketch-os/ketch/internal/config/userdata"
	"github.com/ketch-os/ketch/linux/cmdline"
)

// The kernel parameters that are read.
const (
	ParamPlatform = "ketch.platform" // the name of a platform, or none
	ParamConfig   = "ketch.config"   // where a machine of one's own finds its configuration: a URL
)

const (
	// maxSmall bounds an answer that is a name or a list of keys, in bytes.
	maxSmall = 64 << 10
	// maxProblems bounds what is told of a platform, and maxProblem one of it, in bytes.
	maxProblems, maxProblem = 32, 512
	// maxKeys bounds how many keys a platform may name.
	maxKeys = 256
)

// Facts are what a platform tells a machine.
type Facts struct {
	Platform string       `json:"platform"`
	Why      string       `json:"why"`    // how it was found
	Source   string       `json:"source"` // where the facts come from
	Instance string       `json:"instance,omitempty"`
	Hostname string       `json:"hostname,omitempty"`
	Keys     []config.Key `json:"keys,omitempty"`
	UserData []byte       `json:"userData,omitempty"`
	// Problems are what the platform said that is of no use.
	Problems []string `json:"problems,omitempty"`
}

// problem notes what is of no use.
func (f *Facts) problem(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); len(f.Problems) < maxProblems {
		f.Problems = append(f.Problems, strings.ToValidUTF8(text[:min(len(text), maxProblem)], ""))
	}
}

// addKeys takes lines of authorized_keys; a bad one does not cost the good ones.
func (f *Facts) addKeys(text string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		key, err := config.ParseKey(line)
		switch {
		case err != nil:
			f.problem("SSH key: %v", err)
		case len(f.Keys) == maxKeys:
			f.problem("more than %d SSH keys: the rest is left out", maxKeys)
			return
		case !slices.Contains(f.Keys, key):
			f.Keys = append(f.Keys, key)
		}
	}
}

// setHostname takes a name if it is one.
func (f *Facts) setHostname(name string) {
	name = strings.TrimSpace(name)
	if name == "" {
		return
	}
	if err := config.CheckHostname(name); err != nil {
		f.problem("host name: %v", err)
		return
	}
	f.Hostname = name
}

// Client asks over the network. *fetch.Client is one.
type Client interface {
	Ask(ctx context.Context, method, url string, header map[string]string, limit int) (*fetch.Answer, error)
	Fetch(ctx context.Context, url string) ([]byte, error)
}

// Host is the machine as platforms see it.
type Host struct {
	Sys     fs.FS         // sysfs
	Cmdline *cmdline.Line // of the kernel
	Image   string        // which platform the image was made for
	Client  Client
	Now     func() time.Time
	// Volume finds a file system by its label, in either case. Without one the error is
	// fs.ErrNotExist.
	Volume func(label string) (volume fs.FS, device string, err error)
	// Metadata are the addresses of the metadata service, tried in turn; empty: the
	// real ones.
	Metadata []string
}

// Platform is a place to run in that was found.
type Platform struct {
	Name string
	Why  string // how it was found
	// Network tells whether the facts come over it.
	Network bool
	read    func(ctx context.Context, h *Host, to *Facts) error
}

// kind is a platform that a machine may run on.
type kind struct {
	name    string
	network bool
	// detect tells why the machine runs there, "" that it does not.
	detect func(h *Host) string
	read   func(ctx context.Context, h *Host, to *Facts) error
}

// kinds are all of them, in the order in which they are looked for: what somebody put
// there on purpose, what the firmware says, what is found on a volume.
func kinds() []kind {
	return []kind{
		{"qemu", false, detectFirmwareConfig, readFirmwareConfig},
		{"metal", true, detectURL, readURL},
		{"ec2", true, detectEC2, readEC2},
		{"gce", true, detectGCE, readGCE},
		{"rackspace", false, imageAndDrive("rackspace"), readConfigDrive},
		{"onmetal", false, imageAndDrive("onmetal"), readConfigDrive},
		{"openstack", false, detectConfigDrive, readConfigDrive},
		{"openstack", true, detectOpenStack, readOpenStack},
		{"nocloud", false, detectNoCloud, readNoCloud},
		{"ignition", false, detectIgnitionVolume, readIgnitionVolume},
	}
}

// Find finds the platform; nil: none. The error is one of the kernel parameter.
func Find(h *Host) (*Platform, error) {
	wanted, given, err := h.Cmdline.Once(ParamPlatform)
	if err != nil {
		return nil, err
	}
	known := false
	for _, k := range kinds() {
		if given && k.name != wanted {
			continue
		}
		known = true
		if why := k.detect(h); why != "" {
			return &Platform{k.name, why, k.network, k.read}, nil
		}
	}
	if !given || wanted == "none" {
		return nil, nil
	}
	if !known {
		return nil, fmt.Errorf("kernel parameter %s=%s: there is no such platform", ParamPlatform, wanted)
	}
	// It is told to be there: the one that is asked over the network can be asked.
	all := kinds()
	i := slices.IndexFunc(all, func(k kind) bool { return k.name == wanted && k.network })
	if i < 0 {
		return nil, fmt.Errorf("kernel parameter %s=%s: nothing of it is found on this machine", ParamPlatform, wanted)
	}
	return &Platform{wanted, "kernel parameter " + ParamPlatform, true, all[i].read}, nil
}

// Read asks the platform once.
func (p *Platform) Read(ctx context.Context, h *Host) (*Facts, error) {
	f := &Facts{Platform: p.Name, Why: p.Why}
	if err := p.read(ctx, h, f); err != nil {
		return nil, fmt.Errorf("platform %s: %w", p.Name, err)
	}
	return f, nil
}

// readFile reads a file of a volume, at most limit bytes of it; nil where there is none.
func readFile(volume fs.FS, name string, limit int) ([]byte, error) {
	file, err := volume.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, int64(limit)+1))
	if err == nil && len(data) > limit {
		err = fmt.Errorf("%s: more than %d bytes", name, limit)
	}
	return data, err
}

// dmi reads a field of the firmware's description of the machine (SMBIOS).
func (h *Host) dmi(field string) string {
	text, err := fs.ReadFile(h.Sys, "class/dmi/id/"+field)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// service is a metadata service that was found to answer.
type service struct {
	h      *Host
	base   string
	header map[string]string
}

// get asks for a path, at most limit bytes; nil where there is none.
func (s *service) get(ctx context.Context, path string, limit int) ([]byte, error) {
	answer, err := s.h.Client.Ask(ctx, "GET", s.base+path, s.header, limit)
	if fetch.NotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if answer.HTML() {
		return nil, fmt.Errorf("%s%s answers with a page for people: it is no metadata service", s.base, path)
	}
	if answer.Body == nil {
		return []byte{}, nil
	}
	return answer.Body, nil
}

// text is get for something small.
func (s *service) text(ctx context.Context, path string) (string, error) {
	data, err := s.get(ctx, path, maxSmall)
	return string(data), err
}

// addresses are those of the metadata service.
func (h *Host) addresses(real ...string) []string {
	if len(h.Metadata) > 0 {
		return h.Metadata
	}
	return real
}

// maxUserData bounds user data, in bytes.
const maxUserData = userdata.MaxSize
