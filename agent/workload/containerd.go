package workload

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

	"github.com/ketch-os/ketch/agent/bound"
	"github.com/ketch-os/ketch/agent/imagestore"
	"github.com/ketch-os/ketch/agent/logfile"
	"github.com/ketch-os/ketch/internal/compose"
)

// digestLabel holds the digest of the definition a container was made from.
const digestLabel = "org.ketch.digest"

// cleanUpLimit bounds the removal of a task that could not be started.
const cleanUpLimit = 5 * time.Second

// ErrNoImage is the error of a service whose image containerd does not hold.
var ErrNoImage = errors.New("image is not on this machine; this version runs images that the OS image carries")

// ErrUnavailable is the error of a service that could not be started because
// containerd does not answer.
var ErrUnavailable = errdefs.ErrUnavailable

// Containerd is a Runtime. It works in the client's default namespace.
type Containerd struct {
	Client  *client.Client
	Logs    logfile.Dir
	Version string // of the OS: told to containers as KETCH_VERSION
	Each    bound.Bounds
	Disk    *bound.Disk
	// HostIDs has every container share the host's users: where its files lie, ids
	// cannot be mapped.
	HostIDs bool
	Ended   func(name string) // called when a container has ended, while its control group is there

	chosen reserved
}

// Adopt returns the task of the service's container, or nil when there is none. The
// task may run or have just ended. A container of another definition is removed,
// with its task.
func (c *Containerd) Adopt(ctx context.Context, s compose.Service) (Task, error) {
	container, err := c.current(ctx, s)
	if container == nil || err != nil {
		return nil, err
	}
	found, err := findTask(ctx, container)
	if found == nil {
		return nil, err
	}
	state, err := found.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for status of container %s: %w", s.Name, err)
	}
	if state.Status != client.Created {
		found.ended = c.Ended
		return found, nil
	}
	// The task was made and never started: ketchd was killed in between.
	if _, err := found.Delete(ctx, client.WithProcessKill); err != nil {
		return nil, fmt.Errorf("remove task of container %s: %w", s.Name, err)
	}
	return nil, nil
}

// Start starts the service's container, and makes it first when there is none.
func (c *Containerd) Start(ctx context.Context, s compose.Service) (Task, error) {
	container, err := c.current(ctx, s)
	if err != nil {
		return nil, err
	}
	if container == nil {
		if container, err = c.create(ctx, s); err != nil {
			return nil, fmt.Errorf("create container %s: %w", s.Name, err)
		}
	}
	log, err := c.Logs.Path(s.Name)
	if err != nil {
		return nil, err
	}
	created, err := container.NewTask(ctx, cio.LogFile(log))
	if err != nil {
		return nil, fmt.Errorf("create task of container %s: %w", s.Name, err)
	}
	if err := created.Start(ctx); err != nil {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpLimit)
		defer cancel()
		_, removeErr := created.Delete(limited, client.WithProcessKill)
		return nil, errors.Join(fmt.Errorf("start container %s: %w", s.Name, err), removeErr)
	}
	started, err := newTask(ctx, container, created)
	if err != nil {
		return nil, err
	}
	started.ended = c.Ended
	return started, nil
}

// Prune stops and removes every container whose name is not in keep.
func (c *Containerd) Prune(ctx context.Context, keep map[string]bool) error {
	all, err := c.Client.Containers(ctx)
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	var problems []error
	for _, container := range all {
		if !keep[container.ID()] {
			problems = append(problems, remove(ctx, container))
		}
	}
	return errors.Join(problems...)
}

// current returns the service's container, or nil when there is none. It removes a
// container of another definition.
func (c *Containerd) current(ctx context.Context, s compose.Service) (client.Container, error) {
	container, err := c.Client.LoadContainer(ctx, s.Name)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load container %s: %w", s.Name, err)
	}
	labels, err := container.Labels(ctx)
	if err != nil {
		return nil, fmt.Errorf("read labels of container %s: %w", s.Name, err)
	}
	digest, err := c.digest(ctx, s)
	if err != nil && !errors.Is(err, ErrNoImage) { // without its image, the container goes, too
		return nil, err
	}
	if labels[digestLabel] == digest {
		return container, c.boundLayer(ctx, s.Name)
	}
	return nil, remove(ctx, container)
}

// digest names everything that a container of s is made from.
func (c *Containerd) digest(ctx context.Context, s compose.Service) (string, error) {
	found, err := c.image(ctx, s)
	if err != nil {
		return "", err
	}
	return digest(s, found.Target().Digest.String(), c.Version, strconv.FormatBool(c.hostIDs(s)))
}

// hostIDs tells whether the users of a service are the host's.
func (c *Containerd) hostIDs(s compose.Service) bool { return s.HostIDs || c.HostIDs }

func (c *Containerd) image(ctx context.Context, s compose.Service) (client.Image, error) {
	found, err := c.Client.GetImage(ctx, s.Image)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("%s: %w", s.Image, ErrNoImage)
	}
	return found, err
}

func (c *Containerd) create(ctx context.Context, s compose.Service) (client.Container, error) {
	found, err := c.image(ctx, s)
	if err != nil {
		return nil, err
	}
	config, err := found.Spec(ctx)
	if err != nil {
		return nil, fmt.Errorf("read configuration of image %s: %w", s.Image, err)
	}
	digest, err := c.digest(ctx, s)
	if err != nil {
		return nil, err
	}
	// A power cut may have left the snapshot without its container.
	err = c.Client.SnapshotService(imagestore.Snapshotter).Remove(ctx, s.Name)
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("remove old writable layer: %w", err)
	}
	var own ids
	var mapped []snapshots.Opt
	if !c.hostIDs(s) {
		if own, err = c.chosen.reserve(ctx, c.Client.ContainerService()); err != nil {
			return nil, err
		}
		defer c.chosen.release(own)
		mapped = append(mapped, client.WithUserNSRemapperLabels(own.mapping(), own.mapping()))
	}
	container, err := c.Client.NewContainer(ctx, s.Name,
		client.WithImage(found),
		client.WithImageStopSignal(found, "SIGTERM"),
		client.WithAdditionalContainerLabels(map[string]string{digestLabel: digest, idsLabel: own.label()}),
		client.WithSnapshotter(imagestore.Snapshotter),
		client.WithNewSnapshot(s.Name, found, mapped...),
		client.WithNewSpec(specOptions(s, own, config.Config, c.Version, c.Each)...),
	)
	if err != nil {
		return nil, err
	}
	return container, c.boundLayer(ctx, s.Name)
}

// boundLayer bounds the writable layer of a container.
func (c *Containerd) boundLayer(ctx context.Context, name string) error {
	mounts, err := c.Client.SnapshotService(imagestore.Snapshotter).Mounts(ctx, name)
	if err != nil {
		return fmt.Errorf("find writable layer of container %s: %w", name, err)
	}
	for _, m := range mounts {
		for _, option := range m.Options {
			if upper, ok := strings.CutPrefix(option, "upperdir="); ok {
				c.Disk.Bound(name, filepath.Dir(upper))
			}
		}
	}
	return nil
}

// remove stops a container's task, if it has one, and deletes both, with the
// writable layer.
func remove(ctx context.Context, container client.Container) error {
	running, err := findTask(ctx, container)
	if running != nil {
		if err = running.Stop(ctx, stopGrace); err == nil {
			_, err = running.Wait(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("stop container %s: %w", container.ID(), err)
	}
	if err := container.Delete(ctx, client.WithSnapshotCleanup); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove container %s: %w", container.ID(), err)
	}
	return nil
}

// task is a containerd task: the process of a container.
type task struct {
	client.Task
	ended func(name string)
	stop  syscall.Signal // what asks it to end (image-spec, config.md, StopSignal)
}

func newTask(ctx context.Context, container client.Container, t client.Task) (*task, error) {
	stop, err := client.GetStopSignal(ctx, container, syscall.SIGTERM)
	if err != nil {
		return nil, fmt.Errorf("find stop signal of container %s: %w", container.ID(), err)
	}
	return &task{Task: t, ended: func(string) {}, stop: stop}, nil
}

// findTask returns the task of a container, nil when there is none.
func findTask(ctx context.Context, container client.Container) (*task, error) {
	found, err := container.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find task of container %s: %w", container.ID(), err)
	}
	return newTask(ctx, container, found)
}

// PID is the process's number.
func (t *task) PID() int { return int(t.Task.Pid()) }

// Wait waits for the process to end, removes the task and returns the exit
// status. An error says that containerd cannot tell; the process may still run.
func (t *task) Wait(ctx context.Context) (uint32, error) {
	ended, err := t.Task.Wait(ctx)
	if err != nil {
		return 0, fmt.Errorf("wait for container %s: %w", t.ID(), err)
	}
	select {
	case exit := <-ended:
		if err := exit.Error(); err != nil {
			return 0, fmt.Errorf("wait for container %s: %w", t.ID(), err)
		}
		t.ended(t.ID())
		_, err := t.Delete(ctx)
		if err != nil && !errdefs.IsNotFound(err) {
			return 0, fmt.Errorf("remove task of container %s: %w", t.ID(), err)
		}
		return exit.ExitCode(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Stop asks the process to end, and kills it after grace. It returns when the
// process has ended.
func (t *task) Stop(ctx context.Context, grace time.Duration) error {
	ended, err := t.Task.Wait(ctx)
	if err != nil {
		return ignoreMissing(err)
	}
	var problems []error
	for _, attempt := range [...]struct {
		signal syscall.Signal
		wait   time.Duration
	}{{t.stop, grace}, {syscall.SIGKILL, stopGrace}} {
		// To signal a process that is just ending may fail in many ways. The errors
		// matter only if the process does not end.
		if err := t.Kill(ctx, attempt.signal); err != nil {
			problems = append(problems, fmt.Errorf("send %v: %w", attempt.signal, err))
		}
		select {
		case exit := <-ended:
			return ignoreMissing(exit.Error())
		case <-time.After(attempt.wait):
		case <-ctx.Done():
			return errors.Join(append(problems, ctx.Err())...)
		}
	}
	return errors.Join(append(problems, fmt.Errorf("container %s still runs after SIGKILL", t.ID()))...)
}

// ignoreMissing returns nil for the error of a process that is not there: it has
// ended.
func ignoreMissing(err error) error {
	if errdefs.IsNotFound(errgrpc.ToNative(err)) {
		return nil
	}
	return err
}
