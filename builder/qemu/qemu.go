// Package qemu starts a virtual machine from a disk image: UEFI firmware, one
// virtio disk, a user-mode network, a serial console and, where the image has
// the debug layer, a channel to run commands on the machine.
//
// The same package serves people (`ketch run`) and tests (`qemu-tests`). It
// needs no privilege, and no packet leaves the machine unless asked.
package qemu

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/layout/debugport"
)

// Options describe a machine. The zero value of each field is a sensible default.
type Options struct {
	// Image is the disk, a raw file. The machine writes to it: give it a Copy.
	Image string
	// Dir keeps the machine's firmware variables (VariablesFile) from one start to
	// the next; by default they go with the machine.
	Dir string

	Memory int // MiB; default 512
	CPUs   int // default 2
	Ports  []Forward
	// Network is what the machine reaches: NetworkRestricted, which is the default,
	// NetworkUser or NetworkNone.
	Network string
	// SecureBoot uses firmware that checks signatures. Its variables start empty
	// (setup mode): the image must enrol keys, or Variables must hold them.
	SecureBoot bool
	// Variables is a file of firmware variables to start from; default: the empty one of OVMF.
	Variables string
	// Accel is "kvm", "tcg" or empty: KETCH_ACCEL, or what a probe finds.
	Accel string
	// Icount makes the guest's time a function of the instructions it executed,
	// the same on every run (one CPU, TCG).
	Icount bool
	// ExitOnReboot ends the machine when the guest reboots.
	ExitOnReboot bool
	// Kernel boots this kernel directly, without firmware or boot loader.
	Kernel, Initrd, Cmdline string
	// Interactive connects the serial console to this process's terminal: what
	// is typed goes to the machine, what it prints to this writer. Otherwise
	// VM.Console records it.
	Interactive io.Writer
	// Serial is QEMU's character device for the serial line instead: "none" leaves
	// the line out.
	Serial string
	// Config is a file with the machine's configuration, which it finds in fw_cfg.
	Config string
	// Watchdog gives the machine a hardware watchdog (i6300esb), which resets it.
	Watchdog bool
	// State is a file that VM.Save wrote: the machine goes on from there, with its
	// disk as it was then (see VM.Resumed). Its console has only what comes after.
	State string
	// WriteLog is a file that records every write and flush to the disk, in the
	// order the guest made them, firmware and boot loader included: see package
	// writelog of qemu-tests.
	WriteLog string
	// Disk is how the machine sees the image: devices, as QEMU calls them, the disk
	// itself last; default virtio-blk-pci. Its sectors are those that the image's
	// partition table counts in.
	Disk []string
	// Drive and Extra let a test bend the machine.
	Drive string   // appended to the -drive of the disk: "readonly=on"
	Extra []string // appended to the command line
}

// VariablesFile is the name of the file of firmware variables in Options.Dir.
const VariablesFile = "variables.fd"

// The networks of a machine.
const (
	NetworkRestricted = "restricted" // nothing; it is reached by the forwarded ports
	NetworkUser       = "user"       // what this host reaches, too, by QEMU's user network
	NetworkNone       = "none"       // it has no network card
)

// Networks lists the networks of a machine.
func Networks() []string { return []string{NetworkUser, NetworkRestricted, NetworkNone} }

// Forward makes a TCP port of the guest reachable on a port of the host's loopback.
type Forward struct{ Host, Guest int }

// ParseForward reads "HOST:GUEST".
func ParseForward(s string) (Forward, error) {
	host, guest, ok := strings.Cut(s, ":")
	var f Forward
	var err1, err2 error
	f.Host, err1 = strconv.Atoi(host)
	f.Guest, err2 = strconv.Atoi(guest)
	if !ok || err1 != nil || err2 != nil || f.Host < 1 || f.Host > 65535 || f.Guest < 1 || f.Guest > 65535 {
		return Forward{}, fmt.Errorf("port forward %q: want HOST:GUEST, two port numbers", s)
	}
	return f, nil
}

// ConfigName is the file of fw_cfg in which a machine of ours finds its configuration
// (docs/configuration.md).
const ConfigName = "opt/org.ketch.config"

// installHint is the cure for a missing QEMU or firmware.
const installHint = "install them: sudo apt-get install -y qemu-system-x86 ovmf"

// Find returns the path of the QEMU binary.
func Find() (string, error) {
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return "", hint.Add(errors.New("QEMU is not installed (no qemu-system-x86_64 in PATH)"), installHint)
	}
	return path, nil
}

// firmware is a pair of OVMF flash images.
type firmware struct{ code, variables string }

// ovmf lists where distributions keep OVMF, by whether it enforces Secure Boot.
var ovmf = map[bool][]firmware{
	false: {
		{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},           // Debian, Ubuntu
		{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},       // Fedora
		{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},   // Arch
		{"/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"}, // openSUSE
	},
	true: {
		{"/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
		{"/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
		{"/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
	},
}

// findFirmware returns the first OVMF that is there.
func findFirmware(secureBoot bool) (firmware, error) {
	var tried []string
	for _, f := range ovmf[secureBoot] {
		if exists(f.code) && exists(f.variables) {
			return f, nil
		}
		tried = append(tried, f.code)
	}
	return firmware{}, hint.Add(fmt.Errorf("UEFI firmware (OVMF) is not installed: looked for %s", strings.Join(tried, ", ")), installHint)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// arguments is the command line of QEMU, without the program itself.
func (o Options) arguments(vm *VM, fw firmware, variables string) []string {
	accel := vm.Accel
	// The kernel waits for disks on SATA ports, even empty ones.
	machine := "q35,sata=off,accel=" + accel
	if o.SecureBoot {
		machine += ",smm=on"
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none",
		"-machine", machine,
		"-m", strconv.Itoa(o.Memory), "-smp", strconv.Itoa(o.CPUs),
		"-device", "virtio-rng-pci",
		"-qmp", "unix:" + vm.socket("qmp") + ",server=on,wait=off",
	}
	args = append(args, o.processor(accel)...)
	args = append(args, o.bootFrom(fw, variables)...)
	args = append(args, o.console()...)
	args = append(args, o.disk()...)
	args = append(args, o.network()...)
	args = append(args,
		"-device", "virtio-serial-pci",
		"-chardev", "socket,id=debug,server=on,wait=off,path="+vm.socket("debug"),
		"-device", "virtserialport,chardev=debug,name="+debugport.PortName,
	)
	if o.ExitOnReboot {
		args = append(args, "-no-reboot")
	}
	if o.Config != "" {
		args = append(args, "-fw_cfg", "name="+ConfigName+",file="+escape(o.Config))
	}
	if o.Watchdog {
		args = append(args, "-device", "i6300esb", "-action", "watchdog=reset")
	}
	if o.State != "" {
		args = append(args, "-incoming", "exec:cat "+shellQuote(o.State))
	}
	return append(args, o.Extra...)
}

func (o Options) processor(accel string) []string {
	switch {
	case accel == "kvm":
		return []string{"-cpu", "host"}
	case o.Icount:
		return []string{"-cpu", "max,la57=off", "-icount", "shift=0,sleep=off"}
	}
	// Emulating protection keys costs a quarter of a boot; and so does copying with
	// "rep movsb", which is emulated byte by byte: without erms, Linux copies words.
	return []string{"-cpu", "max,la57=off,pku=off,erms=off"}
}

func (o Options) bootFrom(fw firmware, variables string) []string {
	if o.Kernel != "" {
		return []string{"-kernel", o.Kernel, "-initrd", o.Initrd, "-append", o.Cmdline}
	}
	args := []string{
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + escape(fw.code),
		"-drive", "if=pflash,format=raw,unit=1,file=" + escape(variables),
	}
	if o.SecureBoot {
		args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on")
	}
	return args
}

func (o Options) console() []string {
	switch o.Serial {
	case "":
	case "none":
		return []string{"-serial", "none"}
	default:
		return []string{"-chardev", o.Serial + ",id=console", "-serial", "chardev:console"}
	}
	if o.Interactive != nil {
		// mux: Ctrl-A X ends the machine; signal=off: Ctrl-C belongs to the guest.
		return []string{"-chardev", "stdio,id=console,mux=on,signal=off", "-serial", "chardev:console", "-mon", "chardev=console"}
	}
	return []string{"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"}
}

func (o Options) disk() []string {
	if o.Image == "" {
		return nil
	}
	drive := "if=none,id=disk,discard=unmap," + o.blockDriver()
	if o.Drive != "" {
		drive += "," + o.Drive
	}
	args := []string{"-drive", drive}
	for i, device := range o.Disk {
		if i == len(o.Disk)-1 {
			device += ",drive=disk,bootindex=1" + sectors(o.Image)
		}
		args = append(args, "-device", device)
	}
	return args
}

// blockDriver is how QEMU reaches the image.
func (o Options) blockDriver() string {
	if o.WriteLog == "" {
		return "format=raw,file=" + escape(o.Image)
	}
	return "driver=blklogwrites,log-super-update-interval=1" +
		",file.driver=raw,file.file.driver=file,file.file.filename=" + escape(o.Image) +
		",log.driver=raw,log.file.driver=file,log.file.filename=" + escape(o.WriteLog)
}

// network gives the guest a card, unless it is to have none.
func (o Options) network() []string {
	if o.Network == NetworkNone {
		return nil
	}
	netdev := "user,id=net"
	if o.Network != NetworkUser {
		netdev += ",restrict=on"
	}
	for _, f := range o.Ports {
		netdev += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", f.Host, f.Guest)
	}
	// No option ROM: nothing boots from the network.
	return []string{"-netdev", netdev, "-device", "virtio-net-pci,netdev=net,romfile="}
}

// escape doubles commas, which separate QEMU's options.
func escape(path string) string { return strings.ReplaceAll(path, ",", ",,") }

// shellQuote makes one word of a path for the shell that QEMU's "exec:" starts.
func shellQuote(path string) string { return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'" }

// withDefaults fills in what the caller left open.
func (o Options) withDefaults() Options {
	if o.Memory == 0 {
		o.Memory = 512
	}
	if o.CPUs == 0 {
		o.CPUs = 2
	}
	if len(o.Disk) == 0 {
		o.Disk = []string{"virtio-blk-pci"}
	}
	if o.Icount {
		o.CPUs, o.Accel = 1, "tcg"
	}
	return o
}

// stopTimeout bounds how long a killed QEMU may take to be gone.
const stopTimeout = 10 * time.Second
