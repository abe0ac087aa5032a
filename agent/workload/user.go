package workload

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ketch-os/ketch/internal/plainfile"
)

// maxAccounts is how large an image's /etc/passwd or /etc/group may be, in bytes.
const maxAccounts = 1 << 20

// withUser has the process run as a user of the image. containerd's own option
// opens whatever the image has under the names of its two files, and waits at a FIFO
// for ever.
func withUser(name string) oci.SpecOpts {
	return func(ctx context.Context, c oci.Client, container *containers.Container, s *oci.Spec) error {
		mounts, err := c.SnapshotService(container.Snapshotter).Mounts(ctx, container.SnapshotKey)
		if err != nil {
			return fmt.Errorf("find layers of container: %w", err)
		}
		var problem error
		err = mount.WithReadonlyTempMount(ctx, mount.RemoveIDMapOption(mounts), func(root string) error {
			s.Process.User, problem = userIn(root, name)
			return nil
		})
		return errors.Join(err, problem)
	}
}

// userIn finds a user in the image whose root directory is root.
func userIn(root, name string) (specs.User, error) {
	var text [2]string
	for i, file := range [...]string{"/etc/passwd", "/etc/group"} {
		data, err := plainfile.ReadBelow(root, file, maxAccounts)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return specs.User{}, fmt.Errorf("read accounts of the image: %w", err)
		}
		text[i] = string(data)
	}
	return findUser(name, text[0], text[1])
}

// findUser finds "user", "user:group" or ":group", each a number or a name, in the
// text of /etc/passwd and /etc/group. Empty is root. A number needs no entry. Without
// a group, the user has those of the two files (passwd(5), group(5)).
func findUser(given, passwd, group string) (specs.User, error) {
	name, groupName, _ := strings.Cut(given, ":")
	if name == "" {
		name = "0"
	}
	uid, entry, err := findID("user", name, passwd)
	if err != nil {
		return specs.User{}, err
	}
	user := specs.User{UID: uid}
	if groupName != "" {
		user.GID, _, err = findID("group", groupName, group)
		user.AdditionalGids = []uint32{user.GID}
		return user, err
	}
	if entry != nil {
		user.GID, _ = parseID(entry[3])
	}
	user.AdditionalGids = []uint32{user.GID}
	for fields := range accounts(group) {
		gid, _ := parseID(fields[2])
		if entry != nil && slices.Contains(strings.Split(fields[3], ","), entry[0]) && !slices.Contains(user.AdditionalGids, gid) {
			user.AdditionalGids = append(user.AdditionalGids, gid)
		}
	}
	return user, nil
}

// findID returns the id of a user or group, and its entry, nil of a number that has
// none.
func findID(kind, name, text string) (id uint32, entry []string, err error) {
	number, err := parseID(name)
	if errors.Is(err, strconv.ErrRange) {
		return 0, nil, fmt.Errorf("%s %s: a number may be at most %d", kind, name, maxID)
	}
	numeric := err == nil
	for fields := range accounts(text) {
		id, _ := parseID(fields[2])
		if numeric && id == number || !numeric && fields[0] == name {
			return id, fields, nil
		}
	}
	if !numeric {
		return 0, nil, fmt.Errorf("the image has no %s %q", kind, name)
	}
	return number, nil, nil
}

// maxID is the highest id that runc takes.
const maxID = 1<<31 - 1

func parseID(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	return uint32(n), err
}

// accounts goes over the lines of /etc/passwd or /etc/group, as fields: a name, a
// password, an id, and the group's id or the members' names. What is none is left out,
// as the C library does.
func accounts(text string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(text) {
			fields := strings.Split(strings.TrimSpace(line), ":")
			if len(fields) < 4 || fields[0] == "" {
				continue
			}
			_, err := parseID(fields[2])
			if len(fields) > 4 { // of a user
				_, wrong := parseID(fields[3])
				err = errors.Join(err, wrong)
			}
			if err == nil && !yield(fields) {
				return
			}
		}
	}
}
