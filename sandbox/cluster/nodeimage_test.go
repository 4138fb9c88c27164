package cluster

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine/enginetest"
)

// scripted returns a manager on an engine that is a shell script.
func scripted(t *testing.T, script string) *Manager {
	t.Helper()
	e, _ := enginetest.Script(t, script)
	return &Manager{Engine: e}
}

func TestChooseImage(t *testing.T) {
	t.Parallel()
	tagged, _, _ := strings.Cut(defaults.Image, "@")
	const built = "kubectl-ai/node:v1.36.3"
	for _, c := range []struct {
		name   string
		asked  string
		here   string // what `image inspect` knows
		local  string // what `images` lists
		cgroup int
		want   string
	}{
		{"the one asked for", "my/node:1", "", built, 2, "my/node:1"},
		{"kind's own, by digest", "", defaults.Image, built, 2, defaults.Image},
		{"kind's own, loaded without a digest", "", tagged, built, 2, tagged},
		{"the local one when kind's is not here", "", "", built, 2, built},
		{"the newest local one", "", "", "kubectl-ai/node:v1.34.4 " + built, 2, built},
		{"the local one on cgroup v1, where kind's does not start", "", defaults.Image, built, 1, built},
		{"kind's own, to be pulled", "", "", "", 2, defaults.Image},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := scripted(t, `
case "$1" in
images) echo "`+c.local+`" ;;
image) [ "$5" = "`+c.here+`" ] && echo sha256:1 ;;
esac`)
			m.Engine.CgroupVersion = c.cgroup
			got, err := m.chooseImage(t.Context(), c.asked)
			if err != nil || got.ref != c.want {
				t.Errorf("got %q (%v), want %q", got.ref, err, c.want)
			}
		})
	}
}

func TestEnsureImage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, ref, script string
		version           string
		fails             func(error) bool
	}{
		{"the tag is the version", "kubectl-ai/node:v1.36.3", `echo sha256:1`, "v1.36.3", nil},
		{"the image tells it", "my/node:latest", `case "$1" in image) echo sha256:1 ;; run) echo v1.35.1 ;; esac`, "v1.35.1", nil},
		{"the tag is wrong", "my/node:v1.36.3", `case "$1" in image) echo sha256:1 ;; run) echo v1.35.1 ;; esac`, "v1.35.1", nil},
		{"no network", "kindest/node:v1.37.0", `echo no such host >&2; exit 1`, "", func(err error) bool { return errors.Is(err, ErrImageUnavailable) }},
		{"podman puts a name before it", "localhost/kubectl-ai/node:v1.36.3", `echo sha256:1`, "v1.36.3", nil},
		{"an engine that runs nothing", "my/node:v1", `case "$1" in image) echo sha256:1 ;; run) echo "setrlimit: not permitted" >&2; exit 126 ;; esac`, "", func(err error) bool {
			var failed *engine.CommandError
			return errors.As(err, &failed) && strings.Contains(err.Error(), "look into image my/node:v1")
		}},
		{"no node image", "python:3", `case "$1" in image) echo sha256:1 ;; run) echo 'exec: "sh": executable file not found in $PATH' >&2; exit 127 ;; esac`, "", func(err error) bool {
			var wrong *NotNodeImageError
			return errors.As(err, &wrong) && slices.Equal(wrong.Missing, []string{"a shell"})
		}},
		{"half a node image", "my/node:v1", `case "$1" in image) echo sha256:1 ;; run) printf '\nkubeadm\ncrictl\n' ;; esac`, "", func(err error) bool {
			var wrong *NotNodeImageError
			return errors.As(err, &wrong) && slices.Equal(wrong.Missing, []string{"/kind/version", "kubeadm", "crictl"})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			image := nodeImage{ref: c.ref}
			err := scripted(t, c.script).ensureImage(t.Context(), &image)
			if c.fails != nil {
				if !c.fails(err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || image.kubernetes != c.version {
				t.Errorf("version %q, %v", image.kubernetes, err)
			}
		})
	}
}
