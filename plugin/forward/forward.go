package forward

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Pod is a pod that runs, with its rank, which is -1 where it has none.
type Pod struct {
	*corev1.Pod
	Rank int
}

// Forwarder forwards the ports that pods declare.
type Forwarder struct {
	dial Dial
	say  func(format string, args ...any)

	forbidden sync.Once // was said

	running chan Pod
	gone    chan departure
}

// departure is a pod that ends; known is closed when nothing leads there any
// more.
type departure struct {
	pod   *corev1.Pod
	known chan struct{}
}

// New returns a forwarder; say gets lines for people.
func New(dial Dial, say func(format string, args ...any)) *Forwarder {
	return &Forwarder{dial: dial, say: say, running: make(chan Pod), gone: make(chan departure)}
}

// Running says that a pod runs. It may be said again.
func (f *Forwarder) Running(ctx context.Context, p Pod) {
	select {
	case f.running <- p:
	case <-ctx.Done():
	}
}

// Gone says that a pod ends or has ended. Who connects when it has returned is
// led to another one.
func (f *Forwarder) Gone(ctx context.Context, p *corev1.Pod) {
	d := departure{p, make(chan struct{})}
	select {
	case f.gone <- d:
	case <-ctx.Done():
		return
	}
	select {
	case <-d.known:
	case <-ctx.Done():
	}
}

// workload is what pods of one owner share. It belongs to Run.
type workload struct {
	link  *link
	ports map[int32]string // local addresses by the port in the pod
	pods  []*corev1.Pod    // that run and may be forwarded, the first is
	to    types.UID        // of the pod that is forwarded
}

// Run forwards until ctx ends. That something cannot be forwarded is said, and
// never an error.
func (f *Forwarder) Run(ctx context.Context) {
	var serving sync.WaitGroup
	defer serving.Wait()
	workloads := map[string]*workload{}
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-f.running:
			if p.Rank > 0 {
				continue // it does not stand in for rank 0: it serves something else
			}
			name := owner(p.Pod)
			w := workloads[name]
			if w == nil {
				w = &workload{link: newLink(f.dial, f.say), ports: map[int32]string{}}
				workloads[name] = w
			}
			w.add(p.Pod)
			f.point(ctx, &serving, w)
		case d := <-f.gone:
			if w := workloads[owner(d.pod)]; w != nil {
				w.pods = slices.DeleteFunc(w.pods, func(other *corev1.Pod) bool { return other.UID == d.pod.UID })
				f.point(ctx, &serving, w)
			}
			close(d.known)
		}
	}
}

// add brings a pod in its place: the oldest is the first.
func (w *workload) add(p *corev1.Pod) {
	w.pods = append(slices.DeleteFunc(w.pods, func(other *corev1.Pod) bool { return other.UID == p.UID }), p)
	slices.SortStableFunc(w.pods, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
}

// point leads a workload's ports to its first pod.
func (f *Forwarder) point(ctx context.Context, serving *sync.WaitGroup, w *workload) {
	if len(w.pods) == 0 {
		w.to = ""
		w.link.lead("")
		return
	}
	pod := w.pods[0]
	if pod.UID == w.to {
		return
	}
	w.to = pod.UID
	w.link.lead(pod.Name)
	var ways []string
	for _, port := range declared(pod) {
		local, open := w.ports[port.ContainerPort]
		if !open {
			listener, note, err := listen(port.ContainerPort)
			if err != nil {
				f.say("port %d of %s is not forwarded: %v", port.ContainerPort, pod.Name, err)
				continue
			}
			local = listener.Addr().String() + note
			w.ports[port.ContainerPort] = listener.Addr().String()
			serving.Go(func() { w.link.serve(ctx, listener, port.ContainerPort) })
		}
		ways = append(ways, fmt.Sprintf("%s → %s:%d%s", local, pod.Name, port.ContainerPort, named(port)))
	}
	if len(ways) > 0 {
		serving.Go(func() { f.try(ctx, w.link, ways) })
	}
}

// try makes the connection before anybody needs it: then it can be said where
// the ports are, or that forwarding is forbidden.
func (f *Forwarder) try(ctx context.Context, l *link, ways []string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := l.connection(ctx)
	var forbidden *ForbiddenError
	switch {
	case errors.As(err, &forbidden):
		f.forbidden.Do(func() { f.say("ports are not forwarded: %v; --forward=false does not ask for it", err) })
	case err == nil:
		for _, way := range ways {
			f.say("%s", way)
		}
	}
}

func named(port corev1.ContainerPort) string {
	if port.Name == "" {
		return ""
	}
	return " (" + port.Name + ")"
}

// declared returns the TCP ports of a pod's containers, each once.
func declared(pod *corev1.Pod) []corev1.ContainerPort {
	var out []corev1.ContainerPort
	for _, c := range pod.Spec.Containers {
		for _, port := range c.Ports {
			known := slices.ContainsFunc(out, func(p corev1.ContainerPort) bool { return p.ContainerPort == port.ContainerPort })
			if !known && (port.Protocol == corev1.ProtocolTCP || port.Protocol == "") {
				out = append(out, port)
			}
		}
	}
	return out
}

// owner names what keeps a pod: pods that replace each other share it. Of a
// ReplicaSet it is the name without the hash, as a Deployment replaces those.
func owner(pod *corev1.Pod) string {
	controller := metav1.GetControllerOf(pod)
	if controller == nil {
		return "Pod/" + pod.Name
	}
	name := controller.Name
	if hash := pod.Labels["pod-template-hash"]; hash != "" {
		name = strings.TrimSuffix(name, "-"+hash)
	}
	return controller.Kind + "/" + name
}

// listen opens the port's number on this machine, else the next one that is
// free, and says in a note why it is another.
func listen(port int32) (l net.Listener, note string, err error) {
	first := int(port)
	l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first))
	if err == nil {
		return l, "", nil
	}
	note = fmt.Sprintf(" (%d is in use here)", port)
	if errors.Is(err, fs.ErrPermission) { // below 1024: 80 becomes 8080, 443 becomes 8443
		note = fmt.Sprintf(" (%d needs more rights here)", port)
		first += 8000 - 1
	}
	for n := first + 1; n <= min(first+100, 65535); n++ {
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", n)); err == nil {
			return l, note, nil
		}
	}
	l, err = net.Listen("tcp", "127.0.0.1:0")
	return l, note, err
}
