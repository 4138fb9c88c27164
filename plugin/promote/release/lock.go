package release

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// A run that dies is followed after leaseDuration, plus a look. One that
// cannot renew stops before that, after renewDeadline.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	renewEvery    = 5 * time.Second
	look          = time.Second // between looks at a lease that somebody holds
)

// Annotations of the Lease, for people.
const (
	doingAnnotation = "kubectl-ai.dev/doing"
	whoAnnotation   = "kubectl-ai.dev/who"
)

var leases = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}

// Holder is who holds a lock.
type Holder struct {
	Who   string // such as alice (kubernetes-admin)
	Host  string // the machine
	Doing string // promote, rollback or uninstall
}

// Lock is held while a run writes. It is the algorithm of client-go's
// leaderelection on one Lease (KEP-589's kind), which cannot be used as it is:
// it waits in silence where a second run has to be refused by name, and it
// leaves the Lease behind.
type Lock struct {
	client dynamic.ResourceInterface
	name   string
	id     string // of this run
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu    sync.Mutex // guards lease, which each renewal replaces
	lease *unstructured.Unstructured
}

// Lock takes the project's lock. The context that it returns ends with a
// *LostError when the lock is lost. While another run renews the lock it
// returns a *LockedError; the lock of a run that died is taken over once it
// was seen not to be renewed for as long as its Lease says. Clocks are not
// compared: what counts is how long this process saw no change. waiting, which
// may be nil, is told whom it waits for.
func (s *Store) Lock(ctx context.Context, h Holder, waiting func(Holder, time.Time)) (context.Context, *Lock, error) {
	id := make([]byte, 4)
	_, _ = rand.Read(id) // never fails (crypto/rand, Go 1.24)
	l := &Lock{
		client: s.Client.Resource(leases).Namespace(s.Namespace),
		name:   stateName(s.Project),
		id:     fmt.Sprintf("%s %s", h.Host, hex.EncodeToString(id)),
		done:   make(chan struct{}),
	}
	if err := l.take(ctx, s, h, waiting); err != nil {
		return ctx, nil, err
	}
	held, cancel := context.WithCancelCause(ctx)
	l.cancel = cancel
	go l.keep(held)
	return held, l, nil
}

// take returns when the Lease is ours.
func (l *Lock) take(ctx context.Context, s *Store, h Holder, waiting func(Holder, time.Time)) error {
	var err error
	if l.lease, err = l.write(ctx, s, h, nil); err == nil {
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make Lease/%s: %w", l.name, err)
	}
	var seen string
	var since time.Time
	for {
		found, err := l.client.Get(ctx, l.name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			found = nil
		case err != nil:
			return fmt.Errorf("read Lease/%s: %w", l.name, err)
		}
		spec := specOf(found)
		if holder := deref(spec.HolderIdentity); holder != "" {
			now := time.Now()
			switch mark := holder + found.GetResourceVersion() + deref(spec.RenewTime).String(); {
			case seen == "":
				seen, since = mark, now
				if waiting != nil {
					waiting(holderOf(found), deref(spec.AcquireTime).Time)
				}
			case mark != seen:
				return &LockedError{Project: s.Project, Namespace: s.Namespace, Holder: holderOf(found), Since: deref(spec.AcquireTime).Time}
			}
			patience := leaseDuration
			if n := deref(spec.LeaseDurationSeconds); n > 0 {
				patience = time.Duration(n) * time.Second
			}
			if now.Sub(since) < patience {
				if err := pause(ctx, look); err != nil {
					return err
				}
				continue
			}
		}
		ours, err := l.write(ctx, s, h, found)
		switch {
		case err == nil:
			l.lease = ours
			return nil
		case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), found != nil && apierrors.IsNotFound(err):
			seen = "" // somebody was quicker, or it ended this moment
		default:
			return fmt.Errorf("write Lease/%s: %w", l.name, err)
		}
	}
}

// write makes the Lease, or takes over the one that was found.
func (l *Lock) write(ctx context.Context, s *Store, h Holder, found *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	now := metav1.NowMicro()
	seconds := int32(leaseDuration / time.Second)
	lease := &coordinationv1.Lease{
		TypeMeta: metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"},
		ObjectMeta: metav1.ObjectMeta{
			Name: l.name, Namespace: s.Namespace,
			Labels:      map[string]string{ProjectLabel: s.Project},
			Annotations: map[string]string{doingAnnotation: h.Doing, whoAnnotation: h.Who},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &l.id, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now},
	}
	if found != nil {
		lease.ResourceVersion = found.GetResourceVersion()
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(lease)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: object}
	if found != nil {
		return l.client.Update(ctx, u, metav1.UpdateOptions{FieldManager: manager})
	}
	return l.client.Create(ctx, u, metav1.CreateOptions{FieldManager: manager})
}

// keep renews the Lease until the lock is released or lost.
func (l *Lock) keep(ctx context.Context) {
	defer close(l.done)
	for last := time.Now(); ; {
		wait := renewEvery
		if time.Since(last) > renewEvery {
			wait = look // the last renewal did not work
		}
		if pause(ctx, wait) != nil {
			return
		}
		err := l.Renew(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			last = time.Now()
		case lost(err), time.Since(last) >= renewDeadline:
			if !lost(err) {
				err = &LostError{Lease: l.name, Err: err}
			}
			l.cancel(err)
			return
		}
	}
}

// Renew renews the Lease now. It returns a *LostError when somebody else has
// it, and what the server says when it cannot be asked.
func (l *Lock) Renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		next := l.lease.DeepCopy()
		_ = unstructured.SetNestedField(next.Object, time.Now().UTC().Format(metav1.RFC3339Micro), "spec", "renewTime")
		renewed, err := l.client.Update(ctx, next, metav1.UpdateOptions{FieldManager: manager})
		if err == nil {
			l.lease = renewed
			return nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return fmt.Errorf("renew Lease/%s: %w", l.name, err)
		}
		// A renewal whose answer was lost is our own.
		found, err := l.client.Get(ctx, l.name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return &LostError{Lease: l.name}
		case err != nil:
			return fmt.Errorf("read Lease/%s: %w", l.name, err)
		case deref(specOf(found).HolderIdentity) != l.id:
			return &LostError{Lease: l.name}
		}
		l.lease = found
	}
}

// releasePatience is how long giving a lock back may take after its run.
const releasePatience = 5 * time.Second

// Release gives the lock back: the Lease is deleted if it is still ours. Where
// that does not work the next run takes it over.
// It may be called again.
func (l *Lock) Release(ctx context.Context) {
	l.cancel(nil)
	<-l.done
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
	defer cancel()
	for range 3 {
		uid, version := l.lease.GetUID(), l.lease.GetResourceVersion()
		preconditions := &metav1.Preconditions{UID: &uid, ResourceVersion: &version}
		if uid == "" {
			preconditions = nil
		}
		err := l.client.Delete(ctx, l.name, metav1.DeleteOptions{Preconditions: preconditions})
		if !apierrors.IsConflict(err) {
			return
		}
		// The renewal that was cut off may have been written all the same.
		found, err := l.client.Get(ctx, l.name, metav1.GetOptions{})
		if err != nil || deref(specOf(found).HolderIdentity) != l.id {
			return
		}
		l.lease = found
	}
}

// Held returns who holds the project's lock, as the Lease says; nil when
// nobody does. alive says whether it was renewed lately, by this machine's
// clock: most likely that run goes on.
func (s *Store) Held(ctx context.Context) (holder *Holder, alive bool, err error) {
	found, err := s.Client.Resource(leases).Namespace(s.Namespace).Get(ctx, stateName(s.Project), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read Lease/%s: %w", stateName(s.Project), err)
	}
	spec, h := specOf(found), holderOf(found)
	return &h, deref(spec.HolderIdentity) != "" && time.Since(deref(spec.RenewTime).Time) < leaseDuration, nil
}

func lost(err error) bool {
	_, ok := err.(*LostError) //nolint:errorlint // made here and never wrapped
	return ok
}

// specOf reads a Lease; an empty one when there is none or it makes no sense.
func specOf(lease *unstructured.Unstructured) coordinationv1.LeaseSpec {
	var out coordinationv1.Lease
	if lease == nil || runtime.DefaultUnstructuredConverter.FromUnstructured(lease.Object, &out) != nil {
		return coordinationv1.LeaseSpec{}
	}
	return out.Spec
}

func holderOf(lease *unstructured.Unstructured) Holder {
	host := deref(specOf(lease).HolderIdentity)
	if i := len(host) - len(" 00000000"); i > 0 {
		host = host[:i]
	}
	a := lease.GetAnnotations()
	return Holder{Who: a[whoAnnotation], Host: host, Doing: a[doingAnnotation]}
}

func deref[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
