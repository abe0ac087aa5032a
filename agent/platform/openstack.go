package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// OpenStack, "Metadata service" and "Config drives" of Nova's documentation. Rackspace and
// OnMetal are OpenStack to a machine: a config drive, which OnMetal writes to a partition.
// What is missing is normal.

// configDriveLabel is the label of the volume.
const configDriveLabel = "config-2"

// openStackVersion is the directory that is read, on the volume as over HTTP.
const openStackVersion = "openstack/latest"

var openStackServices = []string{"http://169.254.169.254", "http://[fe80::a9fe:a9fe]"}

func detectConfigDrive(h *Host) string { return detectVolume(h, configDriveLabel) }

// imageAndDrive detects a cloud whose firmware says nothing of it: the image was made for
// it, and there is a config drive.
func imageAndDrive(name string) func(h *Host) string {
	return func(h *Host) string {
		if h.Image != name {
			return ""
		}
		return detectConfigDrive(h)
	}
}

func detectOpenStack(h *Host) string {
	for _, product := range []string{"OpenStack Nova", "OpenStack Compute"} {
		if h.dmi("product_name") == product {
			return "DMI: the product is " + product
		}
	}
	if vendor := h.dmi("sys_vendor"); vendor == "OpenStack Foundation" {
		return "DMI: the vendor is " + vendor
	}
	return ""
}

func readConfigDrive(_ context.Context, h *Host, to *Facts) error {
	volume, device, err := h.Volume(configDriveLabel)
	if err != nil {
		return err
	}
	to.Source = "config drive " + device
	return readOpenStackFiles(to, func(name string, limit int) ([]byte, error) {
		return readFile(volume, path.Join(openStackVersion, name), limit)
	})
}

func readOpenStack(ctx context.Context, h *Host, to *Facts) error {
	var errs []error
	for _, base := range h.addresses(openStackServices...) {
		s := &service{h: h, base: base + "/" + openStackVersion + "/"}
		to.Source = s.base
		err := readOpenStackFiles(to, func(name string, limit int) ([]byte, error) { return s.get(ctx, name, limit) })
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// readOpenStackFiles reads what is of interest: meta_data.json must be there.
func readOpenStackFiles(to *Facts, read func(name string, limit int) ([]byte, error)) error {
	meta, err := read("meta_data.json", maxUserData)
	if err != nil {
		return err
	}
	if meta == nil {
		return fmt.Errorf("%s: meta_data.json: %w", to.Source, fs.ErrNotExist)
	}
	if err := parseOpenStack(meta, to); err != nil {
		return fmt.Errorf("%s: meta_data.json: %w", to.Source, err)
	}
	network, err := read("network_data.json", maxUserData)
	if err != nil {
		return err
	}
	for _, problem := range openStackNetwork(network) {
		to.problem("network_data.json: %s", problem)
	}
	to.UserData, err = read("user_data", maxUserData)
	return err
}

// openStackNetwork tells what network_data.json asks for and the machine does not do yet:
// every link is configured by DHCP and by router advertisements.
func openStackNetwork(text []byte) (problems []string) {
	var data struct {
		Networks []struct {
			ID   string `json:"id"`
			Type string `json:"type"`
		} `json:"networks"`
	}
	if len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, &data); err != nil {
		return []string{err.Error()}
	}
	for _, n := range data.Networks {
		if !slices.Contains([]string{"ipv4_dhcp", "ipv6_dhcp", "ipv6_slaac", "ipv6_dhcpv6-stateless", "ipv6_dhcpv6-stateful"}, n.Type) {
			problems = append(problems, fmt.Sprintf("%q is of type %q, which is not supported yet", n.ID, n.Type))
		}
	}
	return problems
}

// parseOpenStack reads meta_data.json.
func parseOpenStack(text []byte, to *Facts) error {
	var meta struct {
		UUID       string            `json:"uuid"`
		Hostname   string            `json:"hostname"`
		PublicKeys map[string]string `json:"public_keys"`
		Keys       []struct {
			Type string `json:"type"`
			Data string `json:"data"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return err
	}
	to.Instance = meta.UUID
	// Nova appends a domain that nothing resolves.
	to.setHostname(strings.TrimSuffix(meta.Hostname, ".novalocal"))
	for _, name := range slices.Sorted(maps.Keys(meta.PublicKeys)) {
		to.addKeys(meta.PublicKeys[name])
	}
	for _, key := range meta.Keys {
		if key.Type == "ssh" {
			to.addKeys(key.Data)
		}
	}
	return nil
}
