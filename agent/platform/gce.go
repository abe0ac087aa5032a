package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Google Compute Engine, "About VM metadata" and "Add SSH keys to VMs". The address is
// that of metadata.google.internal: it needs no DNS.

const gceFlavour = "Metadata-Flavor"

var gceServices = []string{"http://169.254.169.254"}

func detectGCE(h *Host) string {
	if product := h.dmi("product_name"); product == "Google Compute Engine" {
		return "DMI: the product is Google Compute Engine"
	}
	return ""
}

func readGCE(ctx context.Context, h *Host, to *Facts) error {
	s := &service{h: h, base: h.addresses(gceServices...)[0] + "/computeMetadata/v1/", header: map[string]string{gceFlavour: "Google"}}
	// Whoever else answers does not say whose he is.
	answer, err := h.Client.Ask(ctx, http.MethodGet, s.base+"instance/id", s.header, maxSmall)
	if err != nil {
		return err
	}
	if answer.Header.Get(gceFlavour) != "Google" {
		return errors.New(s.base + " answers without " + gceFlavour + ": it is not Google's")
	}
	to.Source, to.Instance = s.base, strings.TrimSpace(string(answer.Body))
	if to.UserData, err = s.get(ctx, "instance/attributes/user-data", maxUserData); err != nil {
		return err
	}
	name, err := s.text(ctx, "instance/hostname")
	if err != nil {
		return err
	}
	to.setHostname(name)
	return gceKeys(ctx, s, to)
}

// gceKeys reads the instance's keys, and those of its project unless the instance
// does without them.
func gceKeys(ctx context.Context, s *service, to *Facts) error {
	sources := []string{"instance/attributes/ssh-keys"}
	alone, err := s.text(ctx, "instance/attributes/block-project-ssh-keys")
	if err != nil {
		return err
	}
	if !strings.EqualFold(strings.TrimSpace(alone), "true") {
		sources = append(sources, "project/attributes/ssh-keys")
	}
	for _, path := range sources {
		text, err := s.text(ctx, path)
		if err != nil {
			return err
		}
		keys, problems := parseGCEKeys(text, s.h.Now())
		for _, problem := range problems {
			to.problem("%s", problem)
		}
		to.addKeys(strings.Join(keys, "\n"))
	}
	return nil
}

// parseGCEKeys reads lines "USER:KEY". All are keys of the machine's own user here. A
// comment "google-ssh {…}" may say when a key ends. There are no more problems than are kept.
func parseGCEKeys(text string, now time.Time) (keys, problems []string) {
	note := func(format string, args ...any) {
		if len(problems) < maxProblems {
			text := fmt.Sprintf("SSH key: "+format, args...)
			problems = append(problems, text[:min(len(text), maxProblem)])
		}
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		_, key, ok := strings.Cut(line, ":")
		if !ok {
			note("%q: want USER:KEY", line[:min(len(line), 40)])
			continue
		}
		key, comment, dated := strings.Cut(key, " google-ssh ")
		if dated {
			until, err := gceExpiry(comment)
			if err != nil {
				note("%v", err)
			}
			if err != nil || !now.Before(until) {
				continue
			}
		}
		keys = append(keys, key)
	}
	return keys, problems
}

// gceExpiry is when a key ends.
func gceExpiry(comment string) (time.Time, error) {
	var about struct {
		ExpireOn string `json:"expireOn"`
	}
	if err := json.Unmarshal([]byte(comment), &about); err != nil {
		return time.Time{}, fmt.Errorf("when it ends: %w", err)
	}
	until, err := time.Parse("2006-01-02T15:04:05-0700", about.ExpireOn)
	if err != nil {
		until, err = time.Parse(time.RFC3339, about.ExpireOn)
	}
	return until, err
}
