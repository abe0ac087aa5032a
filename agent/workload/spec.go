package workload

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ketch-os/ketch/agent/bound"
	"github.com/ketch-os/ketch/internal/compose"
)

// CgroupParent is where the cgroups of containers live.
const CgroupParent = "/ketch/workloads"

// How many files a container may have open, in systemd's figures. Containerd's
// default, a hard limit of 1,024, is too low for servers.
const (
	softFiles = 1024
	hardFiles = 524288
)

// specOptions turn containerd's default specification (its default capabilities,
// no new privileges, masked paths) into the one of a service, whose users are those
// of m. It may open the devices that runc gives every container, and no other:
// containerd's list has the machine's console. The seccomp profile comes last,
// because it depends on the capabilities. The user comes first: it alone needs the
// image's files.
func specOptions(s compose.Service, m ids, config ocispec.ImageConfig, version string, each bound.Bounds) []oci.SpecOpts {
	options := []oci.SpecOpts{
		withUser(cmp.Or(s.User, config.User)),
		withArgs(s, config),
		oci.WithProcessCwd(cmp.Or(s.WorkingDir, config.WorkingDir, "/")),
		oci.WithDefaultPathEnv,
		oci.WithEnv(config.Env),
		oci.WithEnv(append([]string{"KETCH_VERSION=" + version}, s.Environment...)),
		oci.WithRlimit(&specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: softFiles, Hard: hardFiles}),
		oci.WithCgroup(CgroupParent + "/" + s.Name),
		oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.CgroupNamespace}),
		oci.WithHostNamespace(specs.NetworkNamespace),
		oci.WithMounts(append(hostFiles("/etc/hosts", "/etc/resolv.conf"), cgroupMount)),
		oci.WithDroppedCapabilities([]string{"CAP_MKNOD"}),
		withHostname,
		withOOMScore,
	}
	if m.own() {
		options = append(options, oci.WithUserNamespace(m.mapping(), m.mapping()), withHostSys)
	}
	if s.ReadOnly {
		options = append(options, oci.WithRootFSReadonly())
	}
	limits := s.Limits
	limits.Memory = cmp.Or(limits.Memory, each.Memory)
	limits.PIDs = cmp.Or(limits.PIDs, each.PIDs)
	options = append(options, limitOptions(limits)...)
	return append(options, withSeccomp)
}

// period is what a share of the processors is a share of (cgroup-v2.rst, cpu.max).
const period = 100 * time.Millisecond

func limitOptions(l compose.Limits) (options []oci.SpecOpts) {
	if l.Memory > 0 {
		options = append(options, oci.WithMemoryLimit(uint64(l.Memory)))
	}
	if l.CPUs > 0 {
		quota := int64(l.CPUs * float64(period.Microseconds()))
		options = append(options, oci.WithCPUCFS(quota, uint64(period.Microseconds())))
	}
	if l.PIDs > 0 {
		options = append(options, oci.WithPidsLimit(l.PIDs))
	}
	return options
}

// cgroupMount shows a container its own cgroup, where runtimes look for limits.
var cgroupMount = specs.Mount{
	Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
	Options: []string{"ro", "nosuid", "noexec", "nodev"},
}

// withHostSys binds the host's /sys, read-only. The kernel lets only who owns a
// network mount its sysfs, and a user namespace does not own the host's.
func withHostSys(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	for i, m := range s.Mounts {
		if m.Type == "sysfs" {
			s.Mounts[i] = specs.Mount{
				Destination: m.Destination, Type: "bind", Source: "/sys",
				Options: []string{"rbind", "ro", "nosuid", "noexec", "nodev"},
			}
		}
	}
	return nil
}

// hostFiles binds files of the host into a container, read-only, as far as they
// exist. A bind mount follows symbolic links and holds an inode, so the file that
// /etc/resolv.conf leads to must keep its inode.
func hostFiles(paths ...string) []specs.Mount {
	var mounts []specs.Mount
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			mounts = append(mounts, specs.Mount{Destination: path, Type: "bind", Source: path, Options: []string{"rbind", "ro"}})
		}
	}
	return mounts
}

// withHostname gives the container the machine's name, because it shares the
// machine's network.
func withHostname(ctx context.Context, c oci.Client, container *containers.Container, s *oci.Spec) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	return oci.WithHostname(name)(ctx, c, container, s)
}

// withOOMScore makes a container as likely to be killed for its memory as any
// process. Without it the container inherits from containerd, which is killed last.
func withOOMScore(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	s.Process.OOMScoreAdj = new(int)
	return nil
}

func withArgs(s compose.Service, config ocispec.ImageConfig) oci.SpecOpts {
	return func(ctx context.Context, c oci.Client, container *containers.Container, spec *oci.Spec) error {
		args := arguments(s, config)
		if len(args) == 0 {
			return errors.New("neither the image nor the service names a command")
		}
		return oci.WithProcessArgs(args...)(ctx, c, container, spec)
	}
}

// arguments is the command line: the service's entrypoint and command over the
// image's. A service with its own entrypoint does not get the image's command
// (Compose specification, services, entrypoint).
func arguments(s compose.Service, config ocispec.ImageConfig) []string {
	entrypoint, command := config.Entrypoint, config.Cmd
	if s.Entrypoint != nil {
		entrypoint, command = s.Entrypoint, nil
	}
	if s.Command != nil {
		command = s.Command
	}
	return slices.Concat(entrypoint, command)
}
