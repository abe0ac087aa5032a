package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/ketch-os/ketch/internal/config/strict"
)

// The labels of volumes that somebody attaches to a machine.
const (
	noCloudLabel  = "cidata"   // cloud-init's NoCloud, which Proxmox and libvirt make
	ignitionLabel = "ignition" // one file: config.ign, or ketch.yaml
)

// detectVolume finds a volume by its label, also one that cannot be read: that is worth a
// word.
func detectVolume(h *Host, label string) string {
	if _, device, err := h.Volume(label); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("%s has the label %s", device, label)
	}
	return ""
}

func detectNoCloud(h *Host) string { return detectVolume(h, noCloudLabel) }

// readNoCloud reads user-data and meta-data (cloud-init, "NoCloud"). Of network-config
// nothing is taken yet: many tools write one that asks for DHCP, which needs nothing.
func readNoCloud(_ context.Context, h *Host, to *Facts) error {
	volume, device, err := h.Volume(noCloudLabel)
	if err != nil {
		return err
	}
	to.Source = "volume " + device
	if to.UserData, err = readFile(volume, "user-data", maxUserData); err != nil {
		return err
	}
	meta, err := readFile(volume, "meta-data", maxSmall)
	if err != nil {
		return err
	}
	if to.UserData == nil && meta == nil {
		return fmt.Errorf("%s: user-data: %w", to.Source, fs.ErrNotExist)
	}
	network, err := readFile(volume, "network-config", maxSmall)
	if err != nil {
		return err
	}
	if asksForAddresses(network) {
		to.problem("network-config: static addresses are not supported yet")
	}
	parseNoCloud(meta, to)
	return nil
}

// asksForAddresses tells whether a network-config, of version 1 or 2, gives a link an
// address: a list of addresses but those of name servers, or a type that is static.
func asksForAddresses(text []byte) bool {
	_, root, err := strict.YAML(text)
	return err == nil && addressesIn(root, maxNetworkDepth)
}

// maxNetworkDepth bounds how deep it is looked for addresses.
const maxNetworkDepth = 12

func addressesIn(n strict.Node, depth int) bool {
	if depth == 0 {
		return false
	}
	if n.Kind == yaml.SequenceNode {
		return slices.ContainsFunc(n.Items(), func(item strict.Node) bool { return addressesIn(item, depth-1) })
	}
	return n.Kind == yaml.MappingNode && slices.ContainsFunc(n.Entries(), func(e strict.Entry) bool {
		switch {
		case e.Key == "nameservers":
			return false
		case e.Key == "addresses" && len(e.Value.Content) > 0, e.Key == "type" && strings.HasPrefix(e.Value.Value, "static"):
			return true
		}
		return addressesIn(e.Value, depth-1)
	})
}

// parseNoCloud reads meta-data. A key that is not known there is no fault: tools write
// what they like into it.
func parseNoCloud(text []byte, to *Facts) {
	if len(text) == 0 {
		return
	}
	_, root, err := strict.YAML(text)
	if err != nil {
		if problem := strict.ProblemOf(err); problem.Text != "is empty" {
			to.problem("meta-data: %v", err)
		}
		return
	}
	for _, entry := range root.Entries() {
		switch entry.Key {
		case "instance-id":
			to.Instance = entry.Value.Value
		case "local-hostname", "hostname":
			to.setHostname(entry.Value.Value)
		case "public-keys", "public_keys":
			to.addKeys(entry.Value.Value)
			for _, item := range entry.Value.Items() {
				to.addKeys(item.Value)
			}
		}
	}
}

func detectIgnitionVolume(h *Host) string { return detectVolume(h, ignitionLabel) }

func readIgnitionVolume(_ context.Context, h *Host, to *Facts) error {
	volume, device, err := h.Volume(ignitionLabel)
	if err != nil {
		return err
	}
	for _, name := range []string{"ketch.yaml", "config.ign", "ignition/config.ign"} {
		if to.UserData, err = readFile(volume, name, maxUserData); err != nil {
			return err
		}
		if to.UserData != nil {
			to.Source = fmt.Sprintf("volume %s, %s", device, name)
			return nil
		}
	}
	return errors.New("volume " + device + ": neither ketch.yaml nor config.ign is on it")
}
