package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/sys"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"google.golang.org/grpc"
)

// endpoint is the server of containerd's API on its socket. It stands for
// plugins/server/grpc, which brings along Prometheus, a table of counters for each
// call, TCP and TLS.
//
// The socket is there before the plug-ins are: who connects early is answered as
// soon as there is somebody to answer, and need not ask again and again.
type endpoint struct {
	*grpc.Server
	listener net.Listener
}

// endpointConfig is its section of the configuration.
type endpointConfig struct {
	Address string `toml:"address"` // path of the socket
}

// endpointID is the identifier that containerd looks for the address under.
const endpointID = string(plugins.ServerPlugin) + ".grpc"

// open makes the socket that the configuration names, and registers the plug-in that
// serves on it.
func open(ctx context.Context, c *config.Config) error {
	section := new(endpointConfig)
	if _, err := c.Decode(ctx, endpointID, section); err != nil {
		return err
	}
	if section.Address == "" {
		return errors.New("the configuration names no socket: " + endpointID + ": address")
	}
	listener, err := sys.GetLocalListener(section.Address, os.Geteuid(), os.Getegid())
	if err != nil {
		return fmt.Errorf("listen on %s: %w", section.Address, err)
	}
	registry.Register(&plugin.Registration{
		Type: plugins.ServerPlugin, ID: "grpc",
		Requires: []plugin.Type{plugins.GRPCPlugin},
		InitFn:   func(ic *plugin.InitContext) (any, error) { return newEndpoint(ic.Plugins(), listener) },
	})
	return nil
}

// newEndpoint serves every service that a plug-in has. One that has failed is in the
// log already, and keeps none of the others from serving.
func newEndpoint(set *plugin.Set, listener net.Listener) (*endpoint, error) {
	e := &endpoint{listener: listener, Server: grpc.NewServer(
		grpc.UnaryInterceptor(passNamespace), grpc.StreamInterceptor(passStreamNamespace),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize), grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
	)}
	for _, p := range set.GetAll() {
		if p.Registration.Type != plugins.GRPCPlugin {
			continue
		}
		instance, err := p.Instance()
		if err != nil {
			continue
		}
		if service, ok := instance.(interface{ Register(*grpc.Server) error }); ok {
			if err := service.Register(e.Server); err != nil {
				return nil, fmt.Errorf("register service %s: %w", p.Registration.ID, err)
			}
		}
	}
	return e, nil
}

// Start serves until Close.
func (e *endpoint) Start(ctx context.Context) error {
	go func() {
		if err := e.Serve(e.listener); err != nil {
			log.G(ctx).WithError(err).Fatal("serve the API")
		}
	}()
	return nil
}

// Close ends every call.
func (e *endpoint) Close() error {
	e.Stop()
	return nil
}

// passNamespace makes the namespace that a caller names that of the calls, to shims
// among others, which its call leads to.
func passNamespace(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	return handle(named(ctx), request)
}

func passStreamNamespace(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	return handle(service, namedStream{stream, named(stream.Context())})
}

func named(ctx context.Context) context.Context {
	if name, ok := namespaces.Namespace(ctx); ok {
		return namespaces.WithNamespace(ctx, name)
	}
	return ctx
}

// namedStream is a stream with another context.
type namedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s namedStream) Context() context.Context { return s.ctx }
