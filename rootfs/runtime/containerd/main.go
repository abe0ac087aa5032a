// Command containerd is containerd's daemon without containerd's command line: PID 1
// starts it in one way, and what there is to choose stands in its file of
// configuration. What lies between that file and the signal that ends it follows
// cmd/containerd/command, whose library of commands is left out for its size: it
// formats help with text/template, which calls methods by name, and so keeps the
// linker from dropping a single one. For the same reason there is no mount manager,
// which no snapshotter of ours needs.
//
//	plugins.go    the plug-ins that it has
//	endpoint.go   its socket, and the server on it
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/containerd/containerd/v2/cmd/containerd/server"
	"github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/grpclog"
)

// gcPercent makes a containerd that serves collect its garbage early: it takes a few
// MiB, and runs beside everything else on the machine. After the import of an image
// it holds 11 MiB of heap and stacks, with Go's default of 100 it was 17. Until it
// serves the default holds: there is little garbage, and each collection delays the
// start of everything else.
const gcPercent = 25

func main() {
	file := flag.String("config", "/usr/share/ketch/containerd.toml", "the `FILE` of configuration")
	tell := flag.Bool("version", false, "print the version and end")
	flag.Parse()
	if *tell {
		fmt.Println("containerd", version.Package, version.Version)
		return
	}
	if err := run(context.Background(), *file); err != nil {
		fmt.Fprintln(os.Stderr, "error: containerd:", err)
		os.Exit(1)
	}
}

// run serves until a signal ends it. Before it serves, a signal ends the process at
// once: it holds nothing then that a power cut would not cut as well.
func run(ctx context.Context, file string) error {
	c, err := configure(ctx, file)
	if err != nil {
		return err
	}
	if err := open(ctx, c); err != nil {
		return err
	}
	s, err := server.New(ctx, c)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1)
	if err := s.Start(ctx); err != nil {
		return err
	}
	debug.SetGCPercent(gcPercent)
	for got := range signals {
		if got != unix.SIGUSR1 {
			break
		}
		writeStacks(os.Stderr)
	}
	s.Stop()
	return nil
}

// configure reads the configuration and prepares what the server finds in place: log,
// directories, and no mount that an earlier process has left half-way.
func configure(ctx context.Context, file string) (*config.Config, error) {
	c := &config.Config{Version: version.ConfigVersion}
	if err := config.LoadConfigWithPlugins(ctx, file, registered, c); err != nil {
		return nil, err
	}
	signal.Ignore(unix.SIGPIPE) // PID 1 reads the log, and may have stopped
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	if err := log.SetFormat(log.TextFormat); err != nil {
		return nil, err
	}
	if c.Debug.Level != "" {
		if err := log.SetLevel(c.Debug.Level); err != nil {
			return nil, err
		}
	}
	if err := server.CreateTopLevelDirectories(c); err != nil {
		return nil, err
	}
	if err := mount.SetTempMountLocation(filepath.Join(c.Root, "tmpmounts")); err != nil {
		return nil, fmt.Errorf("make directory for temporary mounts: %w", err)
	}
	warnings, err := mount.CleanupTempMounts(0)
	if err != nil {
		warnings = append(warnings, err)
	}
	for _, warning := range warnings {
		log.G(ctx).WithError(warning).Warn("unmount temporary mounts")
	}
	return c, nil
}

// registered are the plug-ins of this program, for the sections of configuration that
// are theirs.
func registered() iter.Seq[plugin.Registration] {
	return slices.Values(registry.Graph(func(*plugin.Registration) bool { return false }))
}

// writeStacks tells what each goroutine does, for whoever asks with SIGUSR1.
func writeStacks(w io.Writer) {
	text := make([]byte, 1<<20)
	w.Write(text[:runtime.Stack(text, true)])
}
