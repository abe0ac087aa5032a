package main

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"google.golang.org/grpc/metadata"
)

// TestEarlyCallerIsAnswered: who connects before there is a server waits, and is
// answered by it.
func TestEarlyCallerIsAnswered(t *testing.T) {
	defer registry.Reset()
	path := filepath.Join(t.TempDir(), "containerd.sock")
	c := &config.Config{Plugins: map[string]any{endpointID: map[string]any{"address": path}}}
	if err := open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	early, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("connect before there is a server: %v", err)
	}
	defer early.Close()
	// A client's preface, with no settings of its own (RFC 9113, 3.4).
	if _, err := early.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	var server *endpoint
	for _, r := range registry.Graph(func(*plugin.Registration) bool { return false }) {
		if r.Type == plugins.ServerPlugin && r.ID == "grpc" {
			instance, err := r.Init(plugin.NewContext(t.Context(), plugin.NewPluginSet(), nil)).Instance()
			if err != nil {
				t.Fatal(err)
			}
			server = instance.(*endpoint)
		}
	}
	if server == nil {
		t.Fatal("open has registered no server")
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	head := make([]byte, 9)
	if _, err := early.Read(head); err != nil || head[3] != 4 || !bytes.Equal(head[5:], make([]byte, 4)) {
		t.Errorf("the answer begins with % x, %v; want the header of a SETTINGS frame", head, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	defer registry.Reset()
	for name, section := range map[string]any{
		"no address":   map[string]any{"address": ""},
		"a wrong type": map[string]any{"address": 7},
	} {
		c := &config.Config{Plugins: map[string]any{endpointID: section}}
		if err := open(t.Context(), c); err == nil {
			t.Errorf("open with %s = nil; want an error", name)
		}
	}
	if err := open(t.Context(), &config.Config{}); err == nil {
		t.Error("open without its section = nil; want an error")
	}
}

// TestNamespaceIsPassedOn: what a caller names is what calls that follow from its
// own carry.
func TestNamespaceIsPassedOn(t *testing.T) {
	called := metadata.NewIncomingContext(t.Context(), metadata.Pairs(namespaces.GRPCHeader, "ketch"))
	_, err := passNamespace(called, nil, nil, func(ctx context.Context, _ any) (any, error) {
		out, _ := metadata.FromOutgoingContext(ctx)
		if got := out.Get(namespaces.GRPCHeader); len(got) != 1 || got[0] != "ketch" {
			t.Errorf("the namespace passed on is %q; want ketch", got)
		}
		return nil, nil
	})
	if err != nil {
		t.Error(err)
	}
	if named(t.Context()) != t.Context() {
		t.Error("a call without a namespace gets one")
	}
}
