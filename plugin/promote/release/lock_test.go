package release

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

var (
	alice = Holder{Who: "alice", Host: "laptop", Doing: "promote"}
	bob   = Holder{Who: "bob", Host: "ci", Doing: "rollback"}
)

func lease(t *testing.T, s *Store) *unstructured.Unstructured {
	t.Helper()
	obj, err := s.Client.Resource(leases).Namespace("ns").Get(t.Context(), "kubectl-ai-digits", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

func TestWhileOneRunsAnotherIsRefusedByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStore(t)
		ctx, first, err := s.Lock(t.Context(), alice, nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.Sleep(time.Minute)
		asked := time.Now()
		var told Holder
		_, _, err = s.Lock(t.Context(), bob, func(h Holder, _ time.Time) { told = h })
		var locked *LockedError
		if !errors.As(err, &locked) || locked.Holder != alice || !locked.Since.Equal(began) {
			t.Fatalf("err = %v, want alice since %v", err, began)
		}
		if told != alice {
			t.Errorf("told of %+v", told)
		}
		if waited := time.Since(asked); waited > renewEvery+look {
			t.Errorf("it took %v to see that alice is alive", waited)
		}
		if ctx.Err() != nil {
			t.Errorf("alice lost her lock: %v", context.Cause(ctx))
		}
		first.Release(t.Context())
		if left := lease(t, s); left != nil {
			t.Errorf("a lease is left: %v", left.Object)
		}
		_, second, err := s.Lock(t.Context(), bob, nil)
		if err != nil {
			t.Fatal(err)
		}
		second.Release(t.Context())
	})
}

func TestTheLockOfARunThatDiedIsTakenOver(t *testing.T) {
	for name, skew := range map[string]time.Duration{"clocks agree": 0, "hers is an hour ahead": time.Hour, "hers is an hour behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, d := newStore(t)
				ctx, dead, err := s.Lock(t.Context(), alice, nil)
				if err != nil {
					t.Fatal(err)
				}
				dead.cancel(nil) // as kill -9: no renewal and no release
				<-dead.done
				_ = ctx
				obj := lease(t, s)
				_ = unstructured.SetNestedField(obj.Object, time.Now().Add(skew).UTC().Format(metav1.RFC3339Micro), "spec", "renewTime")
				if _, err := d.Resource(leases).Namespace("ns").Update(t.Context(), obj, metav1.UpdateOptions{}); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, lock, err := s.Lock(t.Context(), bob, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer lock.Release(t.Context())
				if took := time.Since(began); took < leaseDuration || took > 30*time.Second {
					t.Errorf("it took %v: not before the lease ran out, and within 30 s", took)
				}
				if h := holderOf(lease(t, s)); h != bob {
					t.Errorf("held by %+v", h)
				}
			})
		})
	}
}

func TestARunThatLosesItsLockStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newStore(t)
		ctx, lock, err := s.Lock(t.Context(), alice, nil)
		if err != nil {
			t.Fatal(err)
		}
		theirs := lease(t, s)
		_ = unstructured.SetNestedField(theirs.Object, "ci 01234567", "spec", "holderIdentity")
		d.PrependReactor("update", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewConflict(leases.GroupResource(), "x", errors.New("changed"))
		})
		d.PrependReactor("get", "leases", func(clienttesting.Action) (bool, runtime.Object, error) { return true, theirs, nil })
		<-ctx.Done()
		var lost *LostError
		if !errors.As(context.Cause(ctx), &lost) || lost.Err != nil {
			t.Errorf("cause = %v", context.Cause(ctx))
		}
		if err := lock.Renew(t.Context()); !errors.As(err, &lost) {
			t.Errorf("renew: %v", err)
		}
		lock.Release(t.Context())
	})
}

func TestARunThatCannotRenewStopsBeforeAnotherMayTakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newStore(t)
		var down atomic.Bool
		d.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			if down.Load() {
				return true, nil, errors.New("connection refused")
			}
			return false, nil, nil
		})
		ctx, lock, err := s.Lock(t.Context(), alice, nil)
		if err != nil {
			t.Fatal(err)
		}
		// A short outage is none.
		down.Store(true)
		time.Sleep(renewEvery + 2*look)
		down.Store(false)
		time.Sleep(time.Minute)
		if ctx.Err() != nil {
			t.Fatalf("lost after a short outage: %v", context.Cause(ctx))
		}
		down.Store(true)
		began := time.Now()
		<-ctx.Done()
		if took := time.Since(began); took >= leaseDuration {
			t.Errorf("it went on for %v", took)
		}
		if cause := context.Cause(ctx); !strings.Contains(cause.Error(), "connection refused") {
			t.Errorf("cause = %v", cause)
		}
		lock.Release(t.Context())
	})
}

// A renewal that was cut off may have been written: the Lease has another
// version then than the one that is known.
func TestALockIsGivenBackAfterARenewalThatNobodyHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := newStore(t)
		_, lock, err := s.Lock(t.Context(), alice, nil)
		if err != nil {
			t.Fatal(err)
		}
		refused := false
		client.PrependReactor("delete", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			if refused {
				return false, nil, nil
			}
			refused = true
			return true, nil, apierrors.NewConflict(leases.GroupResource(), "kubectl-ai-digits", errors.New("another version"))
		})
		lock.Release(t.Context())
		if left := lease(t, s); left != nil || !refused {
			t.Errorf("refused: %t; a lease is left: %v", refused, left)
		}
	})
}
