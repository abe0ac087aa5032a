package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ketch-os/ketch/builder/cache"
	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/keys"
	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/builder/platform"
	"github.com/ketch-os/ketch/builder/progress"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

// buildOptions are the flags of ketch build; ketch run has them too.
type buildOptions struct {
	signing
	output   string
	unsigned bool
	release  bool
	update   bool
	json     bool
	maxSize  *cli.Size
	// sectorSize takes the place of the definition's where it is not 0.
	sectorSize int64
}

func (o *buildOptions) flags(f *pflag.FlagSet) {
	f.StringVarP(&o.output, "output", "o", "", "write the image to `FILE` (default out/DEFINITION/disk.raw)")
	o.signing.flags(f)
	f.BoolVar(&o.update, "update", false, "move tags to the images they mean now, and record that in the .lock file")
	o.maxSize = maxSize(f)
}

func buildCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "build DEFINITION", Short: "Build a disk image from a definition",
		Args: cli.One("a definition"),
		Long: `
A definition is a YAML file that names container images, bottom up. Their
layers are merged; usr/ becomes the read-only file system of slot A with its
hash tree, boot/ becomes the signed kernel image on the ESP.

A tag in a registry is resolved once and recorded beside the definition, in
NAME.lock: later builds use the same image until --update. The same input gives
the same bytes.

A key need not be at hand: --sign-with runs COMMAND for each signature, --key
names a key in a PKCS #11 token, and --unsigned leaves the signing to ketch sign.

  ketch build images/qemu.yaml -o disk.raw
  ketch build images/qemu.yaml -o disk.raw --sign-with 'ssh signer sign-db'`,
	}
	f := cmd.Flags()
	var o buildOptions
	o.flags(f)
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	f.BoolVar(&o.unsigned, "unsigned", false, "do not sign: write what is to be signed to FILE.requests (see ketch sign)")
	f.Int64Var(&o.sectorSize, "sector-size", 0, "build for disks whose logical sectors have `BYTES` bytes, 512 or 4096 (default the definition's sector-size, 512)")
	f.BoolVar(&o.release, "release", false, "refuse keys that are marked as development keys")
	cmd.RunE = do(func(ctx context.Context, e *env, args []string) error {
		_, err := o.build(ctx, e, args[0])
		return err
	})
	return cmd
}

// build builds a definition's image, unless it is there already, and returns its path.
func (o *buildOptions) build(ctx context.Context, e *env, path string) (string, error) {
	start := time.Now()
	options, err := o.options(e, path)
	if err != nil {
		return "", err
	}
	result, err := image.Build(ctx, options)
	if err != nil {
		return "", err
	}
	if err := options.Source.Client.Lock.Save(lockFile(path)); err != nil {
		return "", err
	}
	if o.json {
		return result.Path, cli.JSON(e.stdout, result)
	}
	for _, r := range result.Requests {
		printable.Fprintf(e.stderr, "build: to be signed: %s (%s): %s\n", r.Name, r.What, filepath.Join(image.RequestDir(result.Path), r.Message))
	}
	if result.UpToDate {
		printable.Fprintf(e.stdout, "%s: %s is up to date\n", result.Path, result.Version)
		return result.Path, nil
	}
	printable.Fprintf(e.stdout, "%s: %s, usr %s, root hash %s…, built in %.2f s\n",
		result.Path, result.Version, cli.Bytes(result.UsrSize), result.RootHash[:16], time.Since(start).Seconds())
	return result.Path, nil
}

func (o *buildOptions) options(e *env, path string) (image.Options, error) {
	definition, err := image.LoadDefinition(path)
	if err != nil {
		return image.Options{}, err
	}
	if err := o.forSectors(definition); err != nil {
		return image.Options{}, err
	}
	options := image.Options{Definition: definition}
	if options.Source, err = sourceFor(path, o.update, o.maxSize.Bytes); err != nil {
		return image.Options{}, err
	}
	if options.Keys, err = o.set(e.stderr); err != nil {
		return image.Options{}, err
	}
	if err := o.secret(e, definition, options.Keys); err != nil {
		return image.Options{}, err
	}
	if options.Unsigned = o.unsigned; o.unsigned {
		err = o.unused()
	} else {
		options.Signer, err = o.signer(options.Keys, e.stderr)
	}
	if err != nil {
		return image.Options{}, err
	}
	if options.Output = o.output; options.Output == "" {
		options.Output = filepath.Join("out", strings.TrimSuffix(filepath.Base(path), ".yaml"), "disk.raw")
	}
	options.Source.Progress = progress.New(e.stderr)
	options.Progress = func(s image.Step) {
		printable.Fprintf(e.stderr, "build: %-22s %6.2f s  %s\n", s.Name, s.Took.Seconds(), s.Detail)
	}
	return options, nil
}

// forSectors makes the definition one for disks with the sectors that were asked for.
func (o *buildOptions) forSectors(definition *image.Definition) error {
	switch {
	case o.sectorSize == 0:
		return nil
	case !slices.Contains(image.SectorSizes(), o.sectorSize):
		return cli.Usagef("--sector-size %d: want 512 or 4096", o.sectorSize)
	}
	definition.SectorSize = o.sectorSize
	return nil
}

// developmentHint is how an image comes to keys that are a secret.
const developmentHint = "make keys of your own with ketch keys new DIR, keep DIR secret, and sign with --keys DIR"

// secret warns of an image that strangers can reach and whose keys are no secret,
// and refuses any such keys for a release.
func (o *buildOptions) secret(e *env, definition *image.Definition, set *keys.Set) error {
	if !set.Development {
		return nil
	}
	if o.release {
		return hint.Add(fmt.Errorf("a release is not signed with development keys: %s is marked as such", o.keys), developmentHint)
	}
	if p, err := platform.Find(definition.Platform); err == nil && p.Production() {
		printable.Fprintf(e.stderr, "WARNING: this image for %s is signed with DEVELOPMENT KEYS, which are no secret:\n"+
			"WARNING: whoever has them can make what its machines boot. Do not ship it.\nhint: %s\n", p.Name, developmentHint)
	}
	return nil
}

// sourceFor is where the images of a definition come from: its lock says what tags
// mean. Layers take up to most bytes.
func sourceFor(definition string, update bool, most int64) (image.Source, error) {
	lock, err := oci.LoadLock(lockFile(definition))
	if err != nil {
		return image.Source{}, err
	}
	cache, err := openCache(most)
	if err != nil {
		return image.Source{}, err
	}
	return image.Source{Client: &oci.Client{Lock: lock, Update: update}, Cache: cache}, nil
}

func lockFile(definition string) string { return strings.TrimSuffix(definition, ".yaml") + ".lock" }

// openCache opens the user's cache of layers; a command may add up to most bytes.
func openCache(most int64) (*oci.Cache, error) {
	dir, err := cache.Dir()
	if err != nil {
		return nil, err
	}
	layers, err := oci.OpenCache(filepath.Join(dir, "layers"))
	if errors.Is(err, fs.ErrPermission) {
		err = hint.Add(err, "name a directory for what is kept between builds: XDG_CACHE_HOME=DIR")
	}
	if err != nil {
		return nil, err
	}
	layers.MaxSize = most
	return layers, nil
}
