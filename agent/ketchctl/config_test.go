package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/api/node"
)

func examplePlatform() *node.Platform {
	return &node.Platform{
		Name: "ec2", Why: "DMI: the vendor is Amazon EC2", Source: "http://169.254.169.254", Instance: "i-1\x1b[2J", Hostname: "web-1",
		Keys: []string{"ssh-ed25519 AAAA anna"}, UserData: 380, Problems: []string{"SSH key: it is cut off"}, Kept: true, Error: "no route to host",
	}
}

func exampleConfig() *node.Config {
	return &node.Config{
		Sources: []node.ConfigSource{
			{Name: "the image", Kind: "ketch"},
			{Name: "the user data", Kind: "ignition", Problems: []node.ConfigProblem{
				{Path: "storage.disks", Line: 3, Column: 14, Text: "is not supported"},
				{Source: "https://example.com/more.ign", Line: 1, Column: 1, Text: "no\nJSON"},
				{Text: "is empty"},
			}},
		},
		Values: []node.ConfigValue{{Path: "hostname", Value: "web-1", Origin: "the user data"}},
		Errors: []string{"files: /etc/a: no space left on device"},
	}
}

func TestPlatform(t *testing.T) {
	ketchctl := serve(t, example(), nil)
	out, err := ketchctl("platform")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"platform   ec2\n", "found by   DMI: the vendor is Amazon EC2\n", `i-1\x1b[2J`, "user data  380 bytes\n", "problem    SSH key: it is cut off\n", "this is what it said last", "no route to host"} {
		if !strings.Contains(out, want) {
			t.Errorf("platform prints\n%s\nwant %q", out, want)
		}
	}
	out, err = ketchctl("platform", "--json")
	var got node.Platform
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(examplePlatform(), &got); err != nil || diff != "" {
		t.Errorf("platform --json: %v (-want +got):\n%s", err, diff)
	}
}

func TestConfigShow(t *testing.T) {
	ketchctl := serve(t, example(), nil)
	out, err := ketchctl("config", "show")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"the user data, ignition\n", "the user data, line 3, column 14: storage.disks: is not supported\n", "https://example.com/more.ign, line 1, column 1: no\\nJSON\n",
		"the user data: is empty\n", "not applied  files: /etc/a: no space left on device\n", "hostname     the user data                           web-1\n",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("config show prints\n%s\nwant %q", out, want)
		}
	}
	out, err = ketchctl("config", "show", "--json")
	var got node.Config
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exampleConfig(), &got); err != nil || diff != "" {
		t.Errorf("config show --json: %v (-want +got):\n%s", err, diff)
	}
}
