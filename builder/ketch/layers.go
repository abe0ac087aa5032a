package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/ketch-os/ketch/builder/cache"
	"github.com/ketch-os/ketch/builder/oslayers"
)

func layersCommand() command {
	return command{
		name: "layers", args: "build [NAME…]", short: "Build the OS's own layers",
		long: `
Builds the layers described in rootfs/ (all of them, or those named) into one
OCI layout with a tag for each. What other people's modules give is kept by
content hash in the cache; a layer whose input has not changed is left alone.

  ketch layers build -o out/layers`,
		setup: func(f *flag.FlagSet) func(context.Context, *env, []string) error {
			out := f.String("o", "out/layers", "write the OCI layout to `DIR`")
			source := f.String("rootfs", "rootfs", "read the layer definitions in `DIR`")
			return func(ctx context.Context, e *env, args []string) error {
				if len(args) == 0 || args[0] != "build" {
					return usagef("layers", "want: build [NAME…]")
				}
				kept, err := cache.Dir()
				if err != nil {
					return fmt.Errorf("layers: %w", err)
				}
				if _, err := oslayers.Build(ctx, oslayers.Options{Source: *source, Out: *out, Cache: kept, Names: args[1:], Log: e.stderr}); err != nil {
					return fmt.Errorf("layers: %w", err)
				}
				return nil
			}
		},
	}
}
