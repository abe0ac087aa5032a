package system

import "github.com/ketch-os/ketch/linux/sysctl"

// unlimited is a count before which memory runs out.
const unlimited = "2147483647"

// sysctls are the kernel parameters that differ from the kernel's defaults.
func sysctls() []sysctl.Setting {
	return []sysctl.Setting{
		// A fault ends in a reboot, not in a hang.
		{Name: "kernel.panic", Value: "10", Why: "reboot 10 s after a panic: time to read the console"},
		{Name: "kernel.panic_on_oops", Value: "1", Why: "a kernel that has faulted is not to be trusted"},
		{Name: "kernel.core_pattern", Value: "", Why: "no core dumps on the disk, nor in a container's directory; and none starts a program of the machine's"},

		// What a process may learn of, or do to, the kernel and others.
		{Name: "kernel.kptr_restrict", Value: "2", Why: "kernel addresses help exploits"},
		{Name: "kernel.dmesg_restrict", Value: "1", Why: "so does the kernel log"},
		{Name: "kernel.perf_event_paranoid", Value: "3", Why: "no profiling without privilege"},
		{Name: "kernel.yama.ptrace_scope", Value: "1", Why: "a process traces its descendants only"},
		{Name: "kernel.unprivileged_bpf_disabled", Value: "1", Why: "the verifier is a large attack surface"},
		{Name: "net.core.bpf_jit_harden", Value: "2", Why: "no JIT spraying, by root in a container either"},
		{Name: "kernel.sysrq", Value: "0", Why: "a serial line must not be able to kill or reboot"},
		{Name: "kernel.modules_disabled", Value: "1", Why: "no module is shipped, so nobody has one to load"},
		{Name: "dev.tty.ldisc_autoload", Value: "0", Why: "line disciplines have been exploited"},

		// Links and files in directories that others can write to.
		{Name: "fs.protected_hardlinks", Value: "1", Why: "time-of-check races"},
		{Name: "fs.protected_symlinks", Value: "1", Why: "time-of-check races"},
		{Name: "fs.protected_fifos", Value: "2", Why: "spoofed files in sticky directories"},
		{Name: "fs.protected_regular", Value: "2", Why: "spoofed files in sticky directories"},
		{Name: "fs.suid_dumpable", Value: "0", Why: "no dumps of privileged programs"},

		// Containers.
		{Name: "net.ipv4.ip_forward", Value: "1", Why: "bridge networks"},
		{Name: "net.ipv6.conf.all.forwarding", Value: "1", Why: "bridge networks"},
		{Name: "net.ipv6.conf.all.accept_ra", Value: "2", Why: "accept the router's word although we forward"},
		{Name: "net.ipv6.conf.default.accept_ra", Value: "2", Why: "accept the router's word although we forward"},
		{Name: "net.bridge.bridge-nf-call-iptables", Value: "1", Why: "port mappings also from a neighbour on the bridge"},
		{Name: "vm.overcommit_memory", Value: "1", Why: "programs in containers reserve freely; cgroups set the limits"},
		{Name: "vm.max_map_count", Value: "262144", Why: "search engines and databases map many files"},
		{Name: "kernel.pid_max", Value: "4194304", Why: "PIDs that come back late are hard to mistake; kernel.threads-max is what bounds"},

		// All containers share user 0's share of these with containerd and ketchd. Each
		// is charged to the memory of the control group that uses it: that decides.
		{Name: "fs.epoll.max_user_watches", Value: unlimited, Why: "the memory group decides"},
		{Name: "fs.inotify.max_user_instances", Value: unlimited, Why: "the memory group decides"},
		{Name: "fs.inotify.max_user_watches", Value: unlimited, Why: "the memory group decides"},
		{Name: "fs.file-max", Value: unlimited, Why: "the memory group decides"},
		{Name: "fs.pipe-user-pages-soft", Value: "0", Why: "the memory group decides"},

		// The network.
		{Name: "net.ipv4.conf.all.rp_filter", Value: "2", Why: "drop spoofed sources; loose, for several links"},
		{Name: "net.ipv4.conf.default.rp_filter", Value: "2", Why: "drop spoofed sources; loose, for several links"},
		{Name: "net.ipv4.conf.all.accept_redirects", Value: "0", Why: "no routes from strangers"},
		{Name: "net.ipv4.conf.default.accept_redirects", Value: "0", Why: "no routes from strangers"},
		{Name: "net.ipv6.conf.all.accept_redirects", Value: "0", Why: "no routes from strangers"},
		{Name: "net.ipv6.conf.default.accept_redirects", Value: "0", Why: "no routes from strangers"},
		{Name: "net.ipv4.conf.all.send_redirects", Value: "0", Why: "we are nobody's router"},
		{Name: "net.ipv4.conf.default.send_redirects", Value: "0", Why: "we are nobody's router"},
		{Name: "net.ipv4.conf.all.accept_source_route", Value: "0", Why: "packets do not choose their way"},
		{Name: "net.ipv4.conf.default.accept_source_route", Value: "0", Why: "packets do not choose their way"},
		{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0", Why: "root in a container has no rights over the host's network; nothing but workloads listens"},
		{Name: "net.ipv4.ping_group_range", Value: "0 2147483647", Why: "ping without privilege, in containers too"},
	}
}

// Sysctls sets the kernel parameters.
func Sysctls(missing func(name string)) error { return sysctl.Set(sysctl.Root, sysctls(), missing) }
