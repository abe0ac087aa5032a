package qemu

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/internal/atomicfile"
)

// Acceleration names how QEMU executes the guest: "kvm" or "tcg".
//
// A /dev/kvm that opens proves nothing: on some nested hosts a guest hangs or
// QEMU aborts. So the first call after the host's boot runs a program of a few
// instructions under UEFI with KVM; the answer is kept in cache until the host
// boots again. KETCH_ACCEL=kvm|tcg overrides.
func Acceleration(ctx context.Context, cache string) (accel, reason string, err error) {
	switch forced := os.Getenv("KETCH_ACCEL"); forced {
	case "kvm", "tcg":
		return forced, "KETCH_ACCEL is set", nil
	case "":
	default:
		return "", "", hint.Add(fmt.Errorf("KETCH_ACCEL=%q: unknown acceleration", forced), "use kvm or tcg")
	}
	remembered := filepath.Join(cache, "accel")
	if verdict, ok := recall(remembered); ok {
		return split(verdict)
	}
	verdict := "kvm\tprobed"
	limited, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := probeKVM(limited); err != nil {
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		verdict = "tcg\t" + strings.ReplaceAll(err.Error(), "\n", " ")
	}
	remember(remembered, verdict)
	return split(verdict)
}

func split(verdict string) (accel, reason string, err error) {
	accel, reason, _ = strings.Cut(verdict, "\t")
	return accel, reason, nil
}

const bootIDFile = "/proc/sys/kernel/random/boot_id"

func recall(path string) (string, bool) {
	bootID, err1 := os.ReadFile(bootIDFile)
	kept, err2 := os.ReadFile(path)
	verdict, fresh := strings.CutPrefix(string(kept), string(bootID))
	return verdict, err1 == nil && err2 == nil && fresh && verdict != ""
}

// remember keeps the verdict; where it cannot, the next run probes again.
func remember(path, verdict string) {
	bootID, err := os.ReadFile(bootIDFile)
	if err == nil && os.MkdirAll(filepath.Dir(path), 0o755) == nil {
		_ = atomicfile.WriteFile(path, append(bootID, verdict...), 0o644)
	}
}

// probeTimeout is long for KVM: it needs under two seconds.
const probeTimeout = 10 * time.Second

// probeKVM runs probeProgram with KVM. A nil error means that the guest executed it.
func probeKVM(ctx context.Context) error {
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	kvm.Close()
	return probe(ctx, "kvm", "host")
}

func probe(ctx context.Context, accel, cpu string) error {
	program, err := Find()
	if err != nil {
		return err
	}
	fw, err := findFirmware(false)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ketch-probe-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	app := filepath.Join(dir, "probe.efi")
	if err := os.WriteFile(app, probeProgram(), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "-nodefaults", "-no-user-config", "-display", "none",
		"-machine", "q35,accel="+accel, "-cpu", cpu, "-m", "256",
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+escape(fw.code),
		"-drive", "if=pflash,format=raw,unit=1,snapshot=on,file="+escape(fw.variables),
		"-device", "isa-debug-exit,iobase=0x501,iosize=1", "-kernel", app)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("a guest with %s did not answer in time", accel)
	case errors.As(err, &exit) && exit.ExitCode() == probeStatus:
		return nil
	default:
		return fmt.Errorf("a guest with %s: %v: %s", accel, err, bytes.TrimSpace(stderr.Bytes()))
	}
}

// probeStatus is QEMU's exit status after the guest wrote 0x10 to isa-debug-exit: (0x10<<1)|1.
const probeStatus = 33

// probeProgram is a UEFI application of five instructions: it writes 0x10 to
// I/O port 0x501, where isa-debug-exit waits, and ends QEMU.
func probeProgram() []byte {
	code := []byte{
		0x66, 0xba, 0x01, 0x05, // mov dx, 0x501
		0xb0, 0x10, //             mov al, 0x10
		0xee,       //             out dx, al
		0xf4,       //             hlt
		0xeb, 0xfd, //             jmp to the hlt
	}
	const align, headers, file = 0x1000, 0x400, 0x2000
	// The smallest PE32+ image (Microsoft PE format): DOS header, COFF header, optional header, one section.
	type image struct {
		Magic   [2]byte // "MZ"
		_       [58]byte
		LFANew  uint32 // 60: offset of the PE signature
		Sig     [4]byte
		Machine uint16 // 0x8664
		NumSec  uint16
		_       [12]byte
		OptSize uint16
		Flags   uint16 // executable image
		// Optional header
		OptMagic, _              uint16 // 0x20b: PE32+
		CodeSize, _, _           uint32
		Entry, CodeBase          uint32
		Base                     uint64
		SectionAlign, FileAlign  uint32
		_                        [16]byte
		ImageSize, HeaderSize, _ uint32
		Subsystem, _             uint16 // 10: EFI application
		_                        [32]byte
		_, NumDirs               uint32
		// Section header
		Name                     [8]byte
		VirtualSize, VirtualAddr uint32
		RawSize, RawAddr         uint32
		_                        [12]byte
		Characteristics          uint32 // code, execute, read
	}
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, image{
		Magic: [2]byte{'M', 'Z'}, LFANew: 64, Sig: [4]byte{'P', 'E'}, Machine: 0x8664, NumSec: 1, OptSize: 112, Flags: 0x22e,
		OptMagic: 0x20b, CodeSize: file - headers, Entry: align, CodeBase: align, SectionAlign: align, FileAlign: headers,
		ImageSize: align + file, HeaderSize: headers, Subsystem: 10,
		Name: [8]byte{'.', 't', 'e', 'x', 't'}, VirtualSize: uint32(len(code)), VirtualAddr: align, RawSize: file - headers, RawAddr: headers,
		Characteristics: 0x60000020,
	})
	program := make([]byte, file)
	copy(program, b.Bytes())
	// QEMU takes only what looks like a Linux kernel (x86 boot protocol 2.12); the firmware then loads it as a PE image.
	copy(program[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(program[0x206:], 0x20c)
	copy(program[headers:], code)
	return program
}
