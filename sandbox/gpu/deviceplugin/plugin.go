// Package deviceplugin offers devices to the kubelet of the node it runs on,
// through the device plugin API v1beta1 (k8s.io/kubelet), and keeps them
// there: it registers again as soon as the kubelet has been restarted, its
// own socket is gone, or the kubelet's stream has ended.
//
// Two things decide how:
//   - A kubelet that starts deletes every socket in the folder and forgets who
//     was registered. Pods that it admits before a plugin is back fail for
//     good (UnexpectedAdmissionError), so the folder is watched and not polled;
//     a poll is there for the day when the node is out of inotify watches.
//   - Kubernetes 1.37 refuses a socket path whose old connection it still
//     holds, so every registration has a socket name of its own.
//
// An Allocate response is kept by the kubelet and used again when a container
// is restarted, after a restart of the node as well. It names only paths that
// are still there then.
package deviceplugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// DefaultDir is the folder in which kubelet and plugins meet.
const DefaultDir = "/var/lib/kubelet/device-plugins"

// Mount is a read-only mount that a container with devices gets. Source is a
// path in the node that survives the node's restart.
type Mount struct{ Source, Target string }

// Options of a Plugin. The zero value of each but Resource works.
type Options struct {
	Resource string  // extended resource, "nvidia.com/gpu"
	Dir      string  // DefaultDir
	Mounts   []Mount // what a container with devices finds
	Variable string  // environment variable that lists its devices
	// CDIKind, if given, is the vendor and class of the devices' CDI names:
	// containerd gives a container what the CDI spec of kind=DEVICE says.
	CDIKind string
	// Environment is what else a container with devices gets.
	Environment map[string]string
	// Distributed prefers devices of the groups that are used least; else
	// devices that lie together.
	Distributed bool
	Log         *slog.Logger
	// Poll is how often the folder is looked at beside the events of the
	// file system; 2 s unless given, and five times as often without events.
	Poll time.Duration

	noEvents bool // tests: as if the node were out of inotify watches
}

// Plugin offers the devices of an Inventory. Run it once.
type Plugin struct {
	Options
	devices *Inventory
	told    identity // the socket of the kubelet that knows the plugin; Run's own
}

// Waits chosen so that a kubelet that is there is registered with at once, and
// one that is not costs a dial a second.
const (
	firstRetry     = 20 * time.Millisecond
	lastRetry      = time.Second
	registerLimit  = 15 * time.Second // the kubelet dials back within 10 s
	streamLimit    = 3 * time.Second  // from Register to ListAndWatch
	settleTime     = 200 * time.Millisecond
	socketPrefix   = "kubectl-ai-"
	socketSuffix   = ".sock"
	defaultPolling = 2 * time.Second
)

// New returns a plugin for these devices.
func New(devices *Inventory, o Options) *Plugin {
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Poll == 0 {
		o.Poll = defaultPolling
	}
	return &Plugin{Options: o, devices: devices}
}

// Why one registration ended and the next begins.
var (
	errKubeletRestarted = errors.New("the kubelet was restarted")
	errSocketGone       = errors.New("the plugin's socket is gone")
	errStreamEnded      = errors.New("the kubelet closed the stream")
	errNoStream         = errors.New("the kubelet registered the plugin and did not ask for devices")
)

// Run offers the devices until ctx ends, whatever the kubelet does meanwhile.
// It returns an error only if the folder cannot be used.
func (p *Plugin) Run(ctx context.Context) error {
	if err := os.MkdirAll(p.Dir, 0o750); err != nil {
		return fmt.Errorf("make the device plugin folder: %w", err)
	}
	folder := watch(p.Dir, p.Poll, p.noEvents, p.Log)
	defer folder.close()
	killed, err := p.removeOldSockets()
	if err != nil {
		return err
	}
	if killed {
		p.told = identify(p.kubeletSocket())
		p.settle(ctx, folder)
	}
	for {
		err := p.serve(ctx, folder)
		if ctx.Err() != nil {
			// The next one may follow at once.
			p.settle(context.WithoutCancel(ctx), folder)
			return nil
		}
		p.Log.Info("registering again", "reason", err)
		if p.told.info == nil && !errors.Is(err, errSocketGone) { // which a starting kubelet does
			_ = folder.wait(ctx, lastRetry)
		}
		p.settle(ctx, folder)
	}
}

// settle gives a kubelet that knew the plugin time to see that it is gone:
// until 1.37 it ends the connection that is registered when it notices, be it
// the next one. A kubelet that is just starting knows nothing and is not
// waited for.
func (p *Plugin) settle(ctx context.Context, folder *folder) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for p.told.info != nil && p.told.same(p.kubeletSocket()) && folder.wait(ctx, settleTime) == nil {
	}
	p.told = identity{}
}

// serve registers once and answers the kubelet until there is a reason to
// register again, which it returns.
func (p *Plugin) serve(ctx context.Context, folder *folder) error {
	folder.again() // the folder may be a new one
	s, err := listen(p)
	if err != nil {
		return err
	}
	defer s.close()
	if err := p.register(ctx, folder, s); err != nil {
		return err
	}
	p.Log.Info("registered", "resource", p.Resource, "socket", s.name, "devices", p.devices.Len())
	noStream := time.NewTimer(streamLimit)
	defer noStream.Stop()
	opened := s.opened
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-opened:
			noStream.Stop()
			opened = nil
		case <-noStream.C:
			return errNoStream
		case <-s.ended:
			return errStreamEnded
		case err := <-s.served:
			return fmt.Errorf("serve %s: %w", s.name, err)
		case <-folder.changed:
			if !s.exists() {
				return errSocketGone
			}
			if !p.told.same(p.kubeletSocket()) {
				return errKubeletRestarted
			}
		}
	}
}

// register tells the kubelet of the plugin's socket as soon as there is a
// kubelet.
func (p *Plugin) register(ctx context.Context, folder *folder, s *server) error {
	retry := firstRetry
	last := ""
	for {
		if !s.exists() {
			return errSocketGone
		}
		kubelet := identify(p.kubeletSocket())
		err := p.registerOnce(ctx, s)
		if err == nil {
			// Only now: its socket may have come while it was dialled.
			p.told = identify(p.kubeletSocket())
			return nil
		}
		if ctx.Err() != nil { // it may have heard
			p.told = kubelet
			return context.Cause(ctx)
		}
		if text := err.Error(); text != last { // once, not every second
			p.Log.Info("waiting for the kubelet", "error", err)
			last = text
		}
		if err := folder.wait(ctx, retry); err != nil {
			return err
		}
		if !kubelet.same(p.kubeletSocket()) {
			retry = firstRetry // another kubelet: it is starting now
		}
		retry = min(2*retry, lastRetry)
	}
}

func (p *Plugin) registerOnce(ctx context.Context, s *server) (err error) {
	ctx, cancel := context.WithTimeout(ctx, registerLimit)
	defer cancel()
	conn, err := grpc.NewClient("unix://"+p.kubeletSocket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("dial the kubelet: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	_, err = api.NewRegistrationClient(conn).Register(ctx, &api.RegisterRequest{
		Version:      api.Version,
		Endpoint:     s.name,
		ResourceName: p.Resource,
		Options:      pluginOptions(),
	})
	if err != nil {
		return fmt.Errorf("register with the kubelet: %w", err)
	}
	return nil
}

// socket returns the name of a socket of this plugin: several, of a resource
// each, share the folder.
func (p *Plugin) socket(unique string) string {
	return socketPrefix + path.Base(p.Resource) + "-" + unique + socketSuffix
}

func (p *Plugin) kubeletSocket() string {
	return filepath.Join(p.Dir, filepath.Base(api.KubeletSocket))
}

// removeOldSockets clears what an agent that was killed has left, and says
// whether there was any.
func (p *Plugin) removeOldSockets() (killed bool, err error) {
	old, err := filepath.Glob(filepath.Join(p.Dir, p.socket("????????")))
	if err != nil {
		return false, fmt.Errorf("list old sockets: %w", err)
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, fmt.Errorf("remove an old socket: %w", err)
		}
	}
	return len(old) > 0, nil
}

// identity is a file as it was at one time: a kubelet that starts makes
// another file of the same name.
type identity struct{ info os.FileInfo }

func identify(path string) identity {
	info, err := os.Lstat(path)
	if err != nil {
		return identity{}
	}
	return identity{info}
}

// same says whether path is still that file. Inode numbers are used again, so
// the time counts as well.
func (i identity) same(path string) bool {
	now := identify(path)
	if i.info == nil || now.info == nil {
		return i.info == nil && now.info == nil
	}
	return os.SameFile(i.info, now.info) && i.info.ModTime().Equal(now.info.ModTime())
}
