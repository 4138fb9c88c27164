package registry

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine/enginetest"
	"github.com/kubectl-ai/kubectl-ai/sandbox/image"
)

func TestEndpoint(t *testing.T) {
	t.Parallel()
	for port, want := range map[int][2]string{
		5001: {"localhost:5001", "kubectl-ai-registry"},
		5051: {"localhost:5051", "kubectl-ai-registry-5051"},
	} {
		e := Endpoint{port}
		if diff := cmp.Diff(want, [2]string{e.Host(), e.Container()}); diff != "" {
			t.Error(diff)
		}
	}
}

func TestHostsFile(t *testing.T) {
	t.Parallel()
	want := `server = "http://kubectl-ai-registry:5000"

[host."http://kubectl-ai-registry:5000"]
  capabilities = ["pull", "resolve"]
`
	if diff := cmp.Diff(want, hostsFile(Endpoint{5001})); diff != "" {
		t.Error(diff)
	}
}

func TestHostingConfigMapIsTheKEPs(t *testing.T) {
	t.Parallel()
	var object struct {
		Metadata struct{ Name, Namespace string }
		Data     map[string]string
	}
	if err := yaml.Unmarshal([]byte(hostingConfigMap(Endpoint{5001})), &object); err != nil {
		t.Fatal(err)
	}
	var hosting map[string]string
	if err := yaml.UnmarshalStrict([]byte(object.Data["localRegistryHosting.v1"]), &hosting); err != nil {
		t.Fatal(err)
	}
	if object.Metadata.Name != "local-registry-hosting" || object.Metadata.Namespace != "kube-public" || hosting["host"] != "localhost:5001" {
		t.Errorf("%+v %v", object, hosting)
	}
}

// manager returns one on an engine that is a shell script; the script keeps
// the arguments of every command in a file, whose path is returned.
func manager(t *testing.T, script string) (*Manager, string) {
	t.Helper()
	e, dir := enginetest.Script(t, "echo \"$@\" >>log\n"+script)
	return &Manager{
		Engine:   e,
		Programs: fstest.MapFS{"linux-amd64/ai-registry": {Data: []byte("elf")}},
	}, filepath.Join(dir, "log")
}

func TestCheck(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	port := listener.Addr().(*net.TCPAddr).Port

	m, _ := manager(t, "")
	var taken *PortTakenError
	if err := m.Check(t.Context(), Endpoint{port}); !errors.As(err, &taken) || taken.Port != port {
		t.Errorf("a taken port: %v", err)
	}
	m.Programs = fstest.MapFS{}
	var none *image.NoPayloadError
	if err := m.Check(t.Context(), Endpoint{port}); !errors.As(err, &none) {
		t.Errorf("no program: %v", err)
	}
	// Our own registry holds the port then.
	m, _ = manager(t, `[ "$1" = ps ] && echo kubectl-ai-registry; [ "$1" = container ] && echo '[{"Name":"kubectl-ai-registry"}]'; exit 0`)
	if err := m.Check(t.Context(), Endpoint{port}); err != nil {
		t.Errorf("our own: %v", err)
	}
}

func TestAPortTakenWhenItStartsLeavesNothing(t *testing.T) {
	t.Parallel()
	m, log := manager(t, `
case "$1 $2" in
"image inspect") exit 1 ;;
"load ") cat >/dev/null ;;
"run --detach") echo 'Bind for 127.0.0.1:5001 failed: port is already allocated' >&2; exit 125 ;;
"volume ls") echo kubectl-ai-registry ;;
"ps -a") [ -n "$(grep '^run' "log")" ] && echo kubectl-ai-registry ;;
"container inspect") echo '[{"Name":"kubectl-ai-registry"}]' ;;
esac
exit 0`)
	err := m.Ensure(t.Context(), Endpoint{5001})
	var taken *PortTakenError
	if !errors.As(err, &taken) {
		t.Fatalf("got %v", err)
	}
	said, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"rm -f -v kubectl-ai-registry\n", "volume rm kubectl-ai-registry\n"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
}

// An API server that has just begun fails one command and does the next.
func TestTheAnnouncementIsMadeAgain(t *testing.T) {
	t.Parallel()
	e, dir := enginetest.Script(t, `cat >said
case "$*" in *" apply "*) mkdir failed 2>/dev/null && { echo etcdserver: leader changed >&2; exit 1; }; mv said announced;; esac`)
	if err := Wire(t.Context(), []cluster.Node{cluster.NewNode(e, "ai-control-plane", cluster.ControlPlane)}, Endpoint{5001}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "announced")); err != nil || string(got) != hostingConfigMap(Endpoint{5001}) {
		t.Errorf("announced %s, %v", got, err)
	}
}
