package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/cache"
	"github.com/ketch-os/ketch/builder/oslayers"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

func layersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "build [NAME…]", Short: "Build layers that are described in rootfs/",
		Long: `
Builds the layers described in rootfs/ (all of them, or those named) into one
OCI layout with a tag for each. What other people's modules give is kept by
content hash in the cache; a layer whose input has not changed is left alone.

  ketch layers build -o out/layers`,
	}
	f := cmd.Flags()
	out := f.StringP("output", "o", "out/layers", "write the OCI layout to `DIR`")
	asJSON := f.Bool("json", false, "print the layers as JSON")
	source := f.String("rootfs", "rootfs", "read the layer definitions in `DIR`")
	cmd.RunE = do(func(ctx context.Context, e *env, args []string) error {
		kept, err := cache.Dir()
		if err != nil {
			return err
		}
		built, err := oslayers.Build(ctx, oslayers.Options{Source: *source, Out: *out, Cache: kept, Names: args, Log: printable.NewWriter(e.stderr)})
		if err != nil || !*asJSON {
			return err
		}
		return cli.JSON(e.stdout, built)
	})
	return cli.Parent(&cobra.Command{Use: "layers", Short: "Build the OS's own layers"}, cmd)
}
