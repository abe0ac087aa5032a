package configure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/internal/atomicfile"
	"github.com/ketch-os/ketch/internal/config"
	"github.com/ketch-os/ketch/internal/plainfile"
	"github.com/ketch-os/ketch/layout"
)

// The permissions of what does not say.
const (
	defaultFile      = 0o644
	defaultDirectory = 0o755
)

// Applier changes a machine to what a configuration says.
type Applier struct {
	Root string // "/" but for tests
	// SetHostname is sethostname(2) but for tests.
	SetHostname func(name string) error
	// SetTimeServers is told which servers to ask for the time; none: those that
	// others name.
	SetTimeServers func(servers []string)

	owner config.Owner // of what has none of its own: root but for tests
}

// step is one part of the work.
type step struct {
	name string
	do   func(a *Applier, ctx context.Context, m config.Merged, from config.Fetcher) error
}

// steps are all of them, in order: who may sign in comes first, so that whatever else goes
// wrong, somebody can look.
var steps = []step{
	{"access", (*Applier).access},
	{"host name", (*Applier).hostname},
	{"time servers", (*Applier).timeServers},
	{"certificate authorities", (*Applier).authorities},
	{"what is not asked for any more", (*Applier).forget},
	{"files", (*Applier).files},
	{"workloads", (*Applier).workloads},
}

// Apply does all that a configuration asks for. One fault does not keep it from the rest.
func (a *Applier) Apply(ctx context.Context, m config.Merged, from config.Fetcher) (errs []error) {
	for _, s := range steps {
		if err := s.do(a, ctx, m, from); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	return errs
}

func (a *Applier) path(name string) string { return filepath.Join(a.Root, name) }

// access tells the SSH server who may sign in.
func (a *Applier) access(_ context.Context, m config.Merged, _ config.Fetcher) error {
	file := access.File{TrustedUserCAKeys: lines(m.SSH.TrustedUserCAKeys), Port: m.SSH.Port}
	for _, u := range m.Users {
		file.Users = append(file.Users, access.User{Name: u.Name, Keys: lines(u.Keys)})
	}
	return file.Write(a.path(layout.AccessFile))
}

// timeServers tells the clock whom to ask.
func (a *Applier) timeServers(_ context.Context, m config.Merged, _ config.Fetcher) error {
	a.SetTimeServers(timeServers(m))
	return nil
}

func timeServers(m config.Merged) (list []string) {
	for _, server := range m.NTP.Servers {
		list = append(list, string(server))
	}
	return list
}

// ownAddress is the address by which the machine knows its own name (init/system).
const ownAddress = "127.0.1.1\t"

// hostname gives the machine its name, and PID 1 the one to begin the next boot with.
func (a *Applier) hostname(_ context.Context, m config.Merged, _ config.Fetcher) error {
	kept := a.path(layout.Hostname)
	if m.Hostname == "" {
		if err := os.Remove(kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	errs := []error{a.SetHostname(m.Hostname), os.WriteFile(a.path("/etc/hostname"), []byte(m.Hostname+"\n"), 0o644)}
	if before, err := plainfile.Read(kept, 1<<10); err != nil || string(before) != m.Hostname+"\n" {
		errs = append(errs, atomicfile.WriteFile(kept, []byte(m.Hostname+"\n"), 0o644))
	}
	return errors.Join(append(errs, a.ownHosts(m.Hostname))...)
}

// maxHosts bounds a hosts(5) file, in bytes.
const maxHosts = 1 << 20

// ownHosts changes the machine's own name in /etc/hosts, which a configuration may have
// made a link: nothing is read or written behind one.
func (a *Applier) ownHosts(name string) error {
	hosts := a.path("/etc/hosts")
	before, err := plainfile.Read(hosts, maxHosts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// In place: containers have bound the file.
	file, err := plainfile.Open(hosts, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(ownName(before, name))
	return errors.Join(err, file.Close())
}

// ownName replaces the machine's own name in a hosts(5) file.
func ownName(hosts []byte, name string) []byte {
	var out []byte
	for line := range bytes.Lines(hosts) {
		if !bytes.HasPrefix(line, []byte(ownAddress)) {
			out = append(out, line...)
		}
	}
	return append(out, ownAddress+name+"\n"...)
}

// bundle are the certificates that programs trust.
const bundle = "/ssl/certs/ca-certificates.crt"

// authorities adds certificates to those of the image.
func (a *Applier) authorities(ctx context.Context, m config.Merged, from config.Fetcher) error {
	all, err := os.ReadFile(a.path(layout.EtcSkeleton + bundle))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there, err := os.Stat(a.path("/etc" + bundle))
	if len(m.CertificateAuthorities) == 0 && (err != nil || there.Size() == int64(len(all))) {
		return nil // there are the image's and no others
	}
	var errs []error
	for _, authority := range m.CertificateAuthorities {
		data, err := authority.Contents.Load(ctx, from)
		if err == nil {
			err = config.CheckPEM(data)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", authority.Name, err))
			continue
		}
		all = append(bytes.TrimRight(all, "\n"), '\n')
		all = append(all, data...)
	}
	return errors.Join(append(errs, a.write(config.File{Node: config.Node{Path: "/etc" + bundle, Owner: a.owner}}, all))...)
}

// workloads writes the Compose files. Those that were refused are not written: the
// supervisor is told of them by name.
func (a *Applier) workloads(_ context.Context, m config.Merged, _ config.Fetcher) error {
	var errs []error
	for _, w := range m.Workloads {
		file := config.File{Node: config.Node{Path: composeFile(w.Name), Owner: a.owner}}
		if len(w.Refused) == 0 {
			errs = append(errs, a.write(file, w.Text))
		}
	}
	return errors.Join(errs...)
}

// files makes directories, files and links.
func (a *Applier) files(ctx context.Context, m config.Merged, from config.Fetcher) error {
	var errs []error
	note := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, plainError(err)))
		}
	}
	for _, d := range m.Directories {
		note(d.Path, a.in(d.Path, func(root *os.Root, name string) error { return makeDirectory(root, name, d) }))
	}
	for _, f := range m.Files {
		if a.leave(f) {
			continue
		}
		data, err := f.Contents.Load(ctx, from)
		if err == nil {
			err = a.write(f, data)
		}
		note(f.Path, err)
	}
	for _, l := range m.Links {
		note(l.Path, a.in(l.Path, func(root *os.Root, name string) error { return makeLink(root, name, l) }))
	}
	return errors.Join(errs...)
}

// plainError leaves out the path of an error that has been named.
func plainError(err error) error {
	if at := new(fs.PathError); errors.As(err, &at) {
		return fmt.Errorf("%s: %w", at.Op, at.Err)
	}
	return err
}

// in calls do with the directory at the top that a path lies in, which nothing leads out
// of, and the rest of the path. Where its parents lead may be written too.
func (a *Applier) in(name string, do func(root *os.Root, name string) error) error {
	if err := config.CheckPath(name); err != nil {
		return err
	}
	top, rest, _ := strings.Cut(name[1:], "/")
	root, err := os.OpenRoot(a.path("/" + top))
	if err != nil {
		return err
	}
	defer root.Close()
	if err := checkPlace(root, path.Dir(rest), path.Base(rest)); err != nil {
		return err
	}
	return do(root, rest)
}

// leave tells whether a file is one that is written once, and is there.
func (a *Applier) leave(f config.File) bool {
	once := strings.HasPrefix(f.Path, "/var/")
	if f.Once != nil {
		once = *f.Once
	}
	there := errors.New("not looked")
	_ = a.in(f.Path, func(root *os.Root, name string) error {
		_, there = root.Lstat(name)
		return nil
	})
	return once && there == nil
}

// write writes a file under a stand-in name and renames it, flushed to the disk: below
// /var a power cut leaves the old one or the new one.
func (a *Applier) write(f config.File, data []byte) error {
	return a.in(f.Path, func(root *os.Root, name string) error {
		if err := root.MkdirAll(path.Dir(name), defaultDirectory); err != nil {
			return err
		}
		standIn := path.Join(path.Dir(name), ".ketch-"+path.Base(name)[:min(len(path.Base(name)), 200)]+".partial")
		if err := root.Remove(standIn); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		file, err := root.OpenFile(standIn, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = file.Write(data)
		if err == nil {
			err = errors.Join(file.Chown(f.Owner.UID, f.Owner.GID), file.Chmod(permissions(f.Mode.Or(defaultFile))), file.Sync())
		}
		err = errors.Join(err, file.Close())
		if err == nil {
			err = root.Rename(standIn, name)
		}
		if err != nil {
			return errors.Join(err, root.Remove(standIn))
		}
		return syncDirectory(root, path.Dir(name))
	})
}

func syncDirectory(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// permissions are mode bits in the form of package fs.
func permissions(bits uint32) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if bits&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

// makeDirectory makes a directory, or changes the one that a link in its place leads to.
func makeDirectory(root *os.Root, name string, d config.Directory) error {
	if err := checkPlace(root, name, ""); err != nil {
		return err
	}
	if err := root.MkdirAll(name, defaultDirectory); err != nil {
		return err
	}
	return errors.Join(root.Chown(name, d.Owner.UID, d.Owner.GID), root.Chmod(name, permissions(d.Mode.Or(defaultDirectory))))
}

// makeLink makes a link, in the place of a file or another link. A directory stays.
func makeLink(root *os.Root, name string, l config.Link) error {
	if err := root.MkdirAll(path.Dir(name), defaultDirectory); err != nil {
		return err
	}
	if target, err := root.Readlink(name); err == nil && target == l.Target {
		return nil
	}
	if info, err := root.Lstat(name); err == nil {
		if !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0 {
			return fmt.Errorf("there is a %s already", kindOf(info))
		}
		if err := root.Remove(name); err != nil {
			return err
		}
	}
	return errors.Join(root.Symlink(l.Target, name), root.Lchown(name, l.Owner.UID, l.Owner.GID))
}

func kindOf(info fs.FileInfo) string {
	if info.IsDir() {
		return "directory"
	}
	return "special file"
}
