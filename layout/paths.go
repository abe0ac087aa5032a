package layout

// Paths in the layers and in the running system.
const (
	InitPath      = "/usr/lib/ketch/init" // PID 1; the initramfs carries the same bytes as InitramfsInit
	InitramfsInit = "/init"
	EtcSkeleton   = "/usr/share/ketch/etc"        // copied to /etc at every boot
	ImageInfo     = "/usr/share/ketch/image.json" // what this image is made of
	PackagesDir   = "/usr/share/ketch/packages"   // what each layer of ours says about itself: builder/sbom/inventory
	SBOM          = "/usr/share/ketch/sbom.spdx.json"
	ImagesDir     = "/usr/share/ketch/images" // container images the OS image carries
	ComposeDir    = "/etc/ketch/compose"      // workloads, one Compose file each
	GateFile      = "/etc/ketch/gate.json"    // the machine's own conditions for a good boot: see ketch/layout/gatefile
	OSRelease     = "/usr/lib/os-release"
	DefaultConfig = "/usr/share/ketch/config" // the image's own configuration of the machine: see docs/configuration.md

	RunDir           = "/run/ketch"
	BootTimeline     = RunDir + "/boot.json"
	KetchdSocket     = RunDir + "/ketchd.sock"
	InitSocket       = RunDir + "/init.sock"
	AccessFile       = RunDir + "/access.json"     // who may sign in: see api/access
	Configured       = RunDir + "/configured.json" // the files of /etc and /run that the configuration brought
	ContainerdSocket = "/run/containerd/containerd.sock"
	ContainerdConfig = "/usr/share/ketch/containerd.toml"

	StateDir = "/var/lib/ketch"
	SSHDir   = StateDir + "/ssh" // the SSH server's host key
	// SSHHostKey is its public half, a line as in authorized_keys.
	SSHHostKey = SSHDir + "/host_ed25519.pub"
	LogDir     = "/var/log/ketch"

	Hostname      = StateDir + "/hostname"      // the name that the machine was given, which a boot begins with
	PlatformFacts = StateDir + "/platform.json" // what the platform said last: see agent/platform

	GateReport = StateDir + "/gate.json" // what became of the last health gate: see api/pid1, GateReport

	CurrentRun  = StateDir + "/boot/current.json" // what this boot leaves for the next: a pid1.Run
	PreviousRun = StateDir + "/boot/previous.json"
	CrashDir    = StateDir + "/crash"            // the kernel's last words, a directory for each crash
	Streak      = StateDir + "/boot/streak.json" // boots that workloads may have ended: see agent/lastrun
	KernelLog   = "kernel"                       // the kernel log's name among the logs
	KernelMark  = RunDir + "/kernel.next"        // how far it has been copied

	DebugDaemon = "/usr/lib/ketch/debug/debugd" // only in a debug image
)

// Files of the merged tree's boot/ directory: they feed the UKI and the ESP and
// do not become part of /usr.
const (
	BootKernel  = "boot/vmlinuz"
	BootRelease = "boot/linux.release" // what uname -r says
	BootSource  = "boot/linux.source"  // the source package and its version
	BootStub    = "boot/linuxx64.efi.stub"
	BootLoader  = "boot/systemd-bootx64.efi"
	BootGuard   = "boot/guard.efi"
)
