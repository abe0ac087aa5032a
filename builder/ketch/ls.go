package main

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ketch-os/ketch/builder/imagefs"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

const treeHelp = `
/usr is the file system of the newest boot entry's slot (or of --slot), /efi the
EFI system partition. IMAGE may also be a bare EROFS file system.`

// inTree declares the flags of a command that reads an image's files, and
// returns what opens the tree, which do then works on.
func inTree(f *pflag.FlagSet) (open func(image string, do func(*imagefs.Tree) error) error, most *cli.Size) {
	slot := f.String("slot", "", "read /usr from `SLOT` A or B")
	most = maxSize(f)
	open = func(image string, do func(*imagefs.Tree) error) error {
		if !slices.Contains([]string{"", "A", "B"}, *slot) {
			return cli.Usagef("--slot %s: want A or B", *slot)
		}
		t, err := imagefs.Open(image, *slot, most.Bytes)
		if err != nil {
			return err
		}
		defer t.Close()
		return do(t)
	}
	return open, most
}

func lsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls IMAGE [PATH]", Short: "List the files of an image",
		Args: cli.Between(1, 2, "an image and at most one path"),
		Long: treeHelp + `

  ketch ls out/qemu/disk.raw /usr/bin
  ketch ls -l -R out/qemu/disk.raw /efi
  ketch ls --json -R out/qemu/disk.raw`,
	}
	f := cmd.Flags()
	l := listing{}
	f.BoolVarP(&l.long, "long", "l", false, "show mode, links, owner, size and time")
	f.BoolVarP(&l.recursive, "recursive", "R", false, "show what lies in directories, with whole paths")
	f.BoolVar(&l.json, "json", false, "print everything that is known of each file, as JSON")
	open, _ := inTree(f)
	cmd.RunE = do(func(_ context.Context, e *env, args []string) error {
		path := "/"
		if len(args) == 2 {
			path = args[1]
		}
		return open(args[0], func(t *imagefs.Tree) error { return l.print(e.stdout, t, path) })
	})
	return cmd
}

// listing is how files are listed.
type listing struct{ long, recursive, json bool }

func (l listing) print(out io.Writer, t *imagefs.Tree, name string) error {
	list, err := l.collect(t, name)
	if err != nil {
		return err
	}
	if l.json {
		return cli.JSON(out, list)
	}
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	for _, f := range list {
		shown := f.Path
		if !l.recursive && !f.itself {
			shown = path.Base(f.Path)
		}
		if l.long {
			printable.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t", modeText(f.mode), f.Links, f.UID, f.GID, f.amount(), f.Time.Format("2006-01-02 15:04:05"))
		}
		printable.Fprintf(w, "%s", printable.Name(shown))
		if l.long && f.Target != "" {
			printable.Fprintf(w, " -> %s", printable.Name(f.Target))
		}
		printable.Fprintln(w)
	}
	return w.Flush()
}

// listed is a file as ls prints it.
type listed struct {
	Path   string            `json:"path"`
	Type   string            `json:"type"`
	Mode   string            `json:"mode"` // permissions, octal
	UID    uint32            `json:"uid"`
	GID    uint32            `json:"gid"`
	Links  uint32            `json:"links"`
	Size   int64             `json:"size"`
	Time   time.Time         `json:"modified"`
	Target string            `json:"target,omitempty"` // of a symbolic link
	Device string            `json:"device,omitempty"` // major:minor
	Xattrs map[string][]byte `json:"xattrs,omitempty"` // values in base64
	mode   uint32
	itself bool // the file that was asked for
}

// collect lists a file, or what lies in it if it is a directory.
func (l listing) collect(t *imagefs.Tree, name string) ([]listed, error) {
	depth := 1
	if l.recursive {
		depth = -1
	}
	list := []listed{}
	first := true
	err := t.Walk(name, depth, func(f *imagefs.File) error {
		if itself := first; !itself || !f.IsDir() || l.recursive {
			list = append(list, newListed(f, itself))
		}
		first = false
		return nil
	})
	return list, err
}

func newListed(f *imagefs.File, itself bool) listed {
	s := f.Stat
	kind, _ := fileType(s.Mode)
	entry := listed{
		Path: f.Path, Type: kind, Mode: fmt.Sprintf("%04o", s.Mode&0o7777), UID: s.UID, GID: s.GID, Links: s.Nlink,
		Size: s.Size, Time: s.Mtime, Target: f.Target, Xattrs: f.Xattrs, mode: s.Mode, itself: itself,
	}
	if f.IsDevice() {
		major, minor := s.Device()
		entry.Device = fmt.Sprintf("%d:%d", major, minor)
	}
	return entry
}

// amount is a file's size, or a device's number.
func (f listed) amount() string {
	if f.Device != "" {
		return f.Device
	}
	return strconv.FormatInt(f.Size, 10)
}

// fileType is the kind of file of a mode of stat(2), and the letter that ls shows.
func fileType(mode uint32) (name string, letter byte) {
	switch mode & 0o170000 {
	case 0o140000:
		return "socket", 's'
	case 0o120000:
		return "symlink", 'l'
	case 0o100000:
		return "file", '-'
	case 0o060000:
		return "block device", 'b'
	case 0o040000:
		return "directory", 'd'
	case 0o020000:
		return "character device", 'c'
	case 0o010000:
		return "fifo", 'p'
	}
	return "unknown", '?'
}

// modeText shows a mode as ls(1) does: drwxr-xr-x.
func modeText(mode uint32) string {
	text := []byte("?rwxrwxrwx")
	_, text[0] = fileType(mode)
	for i := range 9 {
		if mode&(1<<(8-i)) == 0 {
			text[1+i] = '-'
		}
	}
	for _, special := range []struct {
		bit         uint32
		at          int
		with, alone byte
	}{{0o4000, 3, 's', 'S'}, {0o2000, 6, 's', 'S'}, {0o1000, 9, 't', 'T'}} {
		if mode&special.bit == 0 {
			continue
		}
		if text[special.at] == 'x' {
			text[special.at] = special.with
		} else {
			text[special.at] = special.alone
		}
	}
	return string(text)
}
