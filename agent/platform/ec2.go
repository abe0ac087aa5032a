package platform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Amazon EC2, "Use the Instance Metadata Service to access instance metadata". Version 2
// only: a token comes first, by PUT, which no server can be tricked into sending. Where
// there is none nothing else is tried.

const (
	ec2Token    = "/latest/api/token"
	ec2TTL      = "X-aws-ec2-metadata-token-ttl-seconds"
	ec2Header   = "X-aws-ec2-metadata-token"
	ec2Seconds  = "300" // as long as a boot may take to ask
	maxEC2Token = 1 << 10
)

// ec2Services are the addresses of the service, by IPv4 and IPv6.
var ec2Services = []string{"http://169.254.169.254", "http://[fd00:ec2::254]"}

func detectEC2(h *Host) string {
	if vendor := h.dmi("sys_vendor"); vendor == "Amazon EC2" {
		return "DMI: the vendor is Amazon EC2"
	}
	// Instances before Nitro run on Xen ("Determine whether an instance is an EC2 instance").
	if strings.HasSuffix(h.dmi("bios_version"), ".amazon") {
		return "DMI: the firmware is Amazon's"
	}
	return ""
}

func readEC2(ctx context.Context, h *Host, to *Facts) error {
	s, err := ec2Session(ctx, h)
	if err != nil {
		return err
	}
	to.Source = s.base
	if to.UserData, err = s.get(ctx, "/latest/user-data", maxUserData); err != nil {
		return err
	}
	if to.Instance, err = s.text(ctx, "/latest/meta-data/instance-id"); err != nil {
		return err
	}
	name, err := s.text(ctx, "/latest/meta-data/local-hostname")
	if err != nil {
		return err
	}
	to.setHostname(name)
	return ec2Keys(ctx, s, to)
}

// ec2Session gets a token, from the first address that gives one.
func ec2Session(ctx context.Context, h *Host) (*service, error) {
	var errs []error
	for _, base := range h.addresses(ec2Services...) {
		answer, err := h.Client.Ask(ctx, http.MethodPut, base+ec2Token, map[string]string{ec2TTL: ec2Seconds}, maxEC2Token)
		if err != nil {
			errs = append(errs, fmt.Errorf("get a token: %w", err))
			continue
		}
		token := string(answer.Body)
		if token == "" || answer.HTML() || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			errs = append(errs, fmt.Errorf("get a token: %s answers with something else", base))
			continue
		}
		return &service{h: h, base: base, header: map[string]string{ec2Header: token}}, nil
	}
	return nil, errors.Join(errs...)
}

// ec2Keys reads the list of keys, a line "0=NAME" each, and each key.
func ec2Keys(ctx context.Context, s *service, to *Facts) error {
	list, err := s.text(ctx, "/latest/meta-data/public-keys/")
	if err != nil {
		return err
	}
	for _, number := range ec2KeyNumbers(list) {
		key, err := s.text(ctx, "/latest/meta-data/public-keys/"+number+"/openssh-key")
		if err != nil {
			return err
		}
		to.addKeys(key)
	}
	return nil
}

// ec2KeyNumbers are the numbers of the keys in a list.
func ec2KeyNumbers(list string) (numbers []string) {
	for line := range strings.Lines(list) {
		number, _, _ := strings.Cut(strings.TrimSpace(line), "=")
		if number != "" && strings.Trim(number, "0123456789") == "" && len(number) < 4 && len(numbers) < maxKeys {
			numbers = append(numbers, number)
		}
	}
	return numbers
}
