package cluster

import (
	"errors"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine/enginetest"
)

func TestOneNameIsMadeOnce(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	first, err := lockName(t.Context(), "ai")
	if err != nil {
		t.Fatal(err)
	}
	var exists *ExistsError
	if _, err := lockName(t.Context(), "ai"); !errors.As(err, &exists) || !exists.Making {
		t.Errorf("a second create of one name: %v", err)
	}
	other, err := lockName(t.Context(), "team")
	if err != nil {
		t.Errorf("another name: %v", err)
	} else {
		other()
	}
	first()
	again, err := lockName(t.Context(), "ai")
	if err != nil {
		t.Fatalf("after the first: %v", err)
	}
	again()
}

// What kind says of a name that is taken must not end in the removal of what
// is there, which is another's.
func TestWhatIsThereIsAnothers(t *testing.T) {
	t.Parallel()
	e, _ := enginetest.Script(t, `echo "nothing is asked of the engine: $*" >&2; exit 1`)
	m := &Manager{Engine: e}
	for _, said := range []string{
		`node(s) already exist for a cluster with the name "ai"`,
		`docker: Error response from daemon: Conflict. The container name "/ai-control-plane" is already in use by container "d34d"`,
	} {
		err := m.diagnose(t.Context(), "ai", "", errors.New(said))
		if !errors.Is(err, ErrExists) {
			t.Errorf("%s: %v", said, err)
		}
		if got := m.abandon(t.Context(), Options{Name: "ai"}, Mark{}, nil, err); !errors.Is(got, ErrExists) || got.Error() != err.Error() {
			t.Errorf("%s: abandoned with %v", said, got)
		}
	}
}
