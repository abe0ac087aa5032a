// Package platform knows what each platform accepts, and holds a file that is to
// be uploaded there against it.
//
// The rules are a table: a platform has a list of them, a rule is a name and a
// function over the opened artefact. What a file cannot show, such as how it is
// to be registered, stands beside the rules as notes. docs/platforms.md has the
// same table for people.
package platform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/layout"
)

// Platform is a place where images run.
type Platform struct {
	Name    string   // as in images/NAME.yaml
	Formats []string // it takes: see Artefact.Format
	Rules   []Rule   // its own, after those that hold everywhere
	Notes   []string // what no rule can see in the file
}

// Rule is one thing that a platform asks of an artefact. Check returns what it
// found, or an error that tells the reason and the place.
type Rule struct {
	Name  string
	Check func(*Artefact) (string, error)
}

// everywhere are the rules of every platform.
func everywhere() []Rule {
	return []Rule{
		{"disk size", multipleOf(layout.MiB)},
		{"partition table", wholeTable},
		{"protective MBR", protectiveMBR},
		{"alignment", aligned},
		{"boot loader", bootLoader},
		{"boot entries", bootEntries},
	}
}

// virtualDisks is the rule of platforms whose disks have sectors of 512 bytes: on
// another disk, firmware and kernel look for the partition table elsewhere.
func virtualDisks() Rule { return Rule{"sector size", sectorsOf(512)} }

// production adds to a platform's rules that of an image that strangers can reach.
func production(own ...Rule) []Rule {
	return append([]Rule{{productionRule, noDebugShell}}, own...)
}

// productionRule is the rule that only platforms of production images have.
const productionRule = "no debug shell"

// Production tells whether strangers can reach the machines: keys that are no secret
// are not for these.
func (p *Platform) Production() bool {
	return slices.ContainsFunc(p.Rules, func(r Rule) bool { return r.Name == productionRule })
}

// NotesOn are the notes on one artefact: the platform's, and what is worth a word
// of the artefact itself.
func (p *Platform) NotesOn(a *Artefact) []string {
	notes := p.Notes
	development := false
	if a.Broken == nil {
		// What cannot be read breaks a rule, which says so.
		_ = a.eachEntry(func(e image.Entry) error {
			development = development || slices.Contains(values(e.Cmdline, layout.ParamDev), "1")
			return nil
		})
	}
	if p.Production() && development {
		notes = append(slices.Clone(notes), noteDevelopment)
	}
	return notes
}

const noteDevelopment = "signed with DEVELOPMENT KEYS, which are no secret: whoever has them can make what such a machine boots"

// All lists the platforms.
func All() []Platform {
	return []Platform{
		{Name: "qemu", Formats: []string{"raw", "qcow2"}, Rules: []Rule{
			{"console", consoles("ttyS0")},
		}},
		// Amazon EC2
		{Name: "ec2", Formats: []string{"raw", "vmdk"}, Rules: production(
			virtualDisks(),
			Rule{"console", consoles("tty1", "ttyS0,115200n8")},
			Rule{"disk time-out", parameter("nvme_core.io_timeout=4294967295")},
			Rule{"interface names", parameter("net.ifnames=0")},
		), Notes: []string{"register the snapshot with boot mode uefi-preferred and IMDSv2 (ImdsSupport v2.0)"}},
		// Google Compute Engine
		{Name: "gce", Formats: []string{"raw.tar.gz"}, Rules: production(
			Rule{"tar dialect", oldGNU},
			Rule{"tar member", member("disk.raw")},
			virtualDisks(),
			Rule{"disk size in GiB", multipleOf(layout.GiB)},
			Rule{"console", consoles("ttyS0,115200n8")},
		), Notes: []string{"create the image with the guest OS features UEFI_COMPATIBLE, VIRTIO_SCSI_MULTIQUEUE and GVNIC"}},
		// OpenStack on KVM
		{Name: "openstack", Formats: []string{"qcow2"}, Rules: production(
			virtualDisks(),
			Rule{"qcow2 snapshots", noSnapshots},
			Rule{"qcow2 compat", compat010},
			Rule{"qcow2 compression", compressed},
			Rule{"console", consoles("tty1", "ttyS0")},
		), Notes: []string{noteUEFI + ": give it the property hw_firmware_type=uefi"}},
		// Rackspace's classic cloud on Xen
		{Name: "rackspace", Formats: []string{"vhd.tar.gz"}, Rules: production(
			Rule{"tar member", member("image.vhd")},
			virtualDisks(),
			Rule{"VHD type", dynamicVHD},
			Rule{"VHD creator", createdBy("tap")},
			Rule{"console", consoles("tty0", "ttyS0")},
		), Notes: []string{
			"machines there start by BIOS, and " + noteUEFI + ": it will not start",
			"the member's name image.vhd is not confirmed by the platform",
		}},
		// Rackspace OnMetal: OpenStack Ironic
		{Name: "onmetal", Formats: []string{"qcow2"}, Rules: production(
			virtualDisks(),
			Rule{"qcow2 snapshots", noSnapshots},
			Rule{"console", consoles("ttyS4,115200n8")},
			Rule{"serial ports", parameter("8250.nr_uarts=5")},
			Rule{"management engine", parameter("modprobe.blacklist=mei_me")},
		), Notes: []string{noteUEFI + ": a machine set to BIOS will not start it"}},
		// a machine of one's own
		{Name: "metal", Formats: []string{"raw.zst"}, Rules: production(
			Rule{"checksum file", checksumFile},
			Rule{"signature", detachedSignature},
			Rule{"console", consoles("tty0")},
			Rule{"console of SPCR", parameter("earlycon")},
			Rule{"console of SPCR, kept", parameter("keep_bootcon")},
		), Notes: []string{noteUEFI}},
	}
}

const noteUEFI = "the image boots by UEFI only"

// Names lists the platforms.
func Names() (names []string) {
	for _, p := range All() {
		names = append(names, p.Name)
	}
	return names
}

// Find returns the platform of a name; its error lists those there are.
func Find(name string) (*Platform, error) {
	for _, p := range All() {
		if p.Name == name {
			return &p, nil
		}
	}
	err := fmt.Errorf("unknown platform %q", name)
	if name == "" {
		err = fmt.Errorf("no platform given")
	}
	return nil, hint.Add(err, "platforms: %s", strings.Join(Names(), ", "))
}

// Check holds an artefact against every rule of the platform, and says what it
// does not look at. Where there is no disk in it that is everything but the first.
func (p *Platform) Check(a *Artefact) []image.Check {
	var checks []image.Check
	for i, r := range append([]Rule{{"container", contained(p.Formats)}}, append(everywhere(), p.Rules...)...) {
		c := image.Check{Name: r.Name}
		if a.Broken != nil && i > 0 {
			c.LeftOut = "there is no disk to look at"
		} else if c.Detail, c.Err = r.Check(a); c.Err != nil {
			c.Detail, c.Error = "", c.Err.Error()
		}
		checks = append(checks, c)
	}
	return append(checks, image.Check{Name: "signatures, and every other byte", LeftOut: "no platform's rule: ketch verify looks at them"})
}
