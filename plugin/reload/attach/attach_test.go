package attach

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/inject"
)

func pod(edit func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p"},
		Spec: corev1.PodSpec{
			Volumes: []corev1.Volume{
				{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
			},
			Containers: []corev1.Container{{
				Name: "main", WorkingDir: "/app/",
				VolumeMounts: []corev1.VolumeMount{
					{Name: "work", MountPath: "/app"}, {Name: "settings", MountPath: "/app/settings"}, {Name: "work", MountPath: "/ro", ReadOnly: true},
				},
			}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if edit != nil {
		edit(p)
	}
	return p
}

func TestFind(t *testing.T) {
	t.Parallel()
	yes := true
	locked := func(p *corev1.Pod) {
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{ReadOnlyRootFilesystem: &yes}
	}
	state := func(s corev1.ContainerState) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "side"}, {Name: "main", State: s}}
		}
	}
	for _, c := range []struct {
		name, into, signal string
		edit               func(*corev1.Pod)
		want               Kind // "": it may
		at                 string
	}{
		{name: "the workingDir by itself", at: "/app"},
		{name: "a folder by name", into: "/app/src/", at: "/app/src"},
		{name: "a folder beside a mount's name is not in it", into: "/application", at: "/application"},
		{name: "the container's own filesystem", into: "/srv", at: "/srv"},
		{name: "which is read-only", into: "/srv", edit: locked, want: ReadOnly},
		{name: "but the volume on it is not", edit: locked, at: "/app"},
		{name: "a read-only mount", into: "/ro/code", want: ReadOnly},
		{name: "a ConfigMap inside of a writable mount", into: "/app/settings", want: ReadOnly},
		{name: "no folder", edit: func(p *corev1.Pod) { p.Spec.Containers[0].WorkingDir = "" }, want: NoFolder},
		{name: "the root", into: "/", want: NoFolder},
		{name: "a pod that waits", edit: func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }, want: NotRunning},
		{name: "a container that waits to begin again", edit: state(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}), want: NotRunning},
		{name: "one that has ended", edit: state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}), want: NotRunning},
		{name: "one that runs", edit: state(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}), at: "/app"},
		{name: "a container that dev runs", edit: func(p *corev1.Pod) {
			p.Annotations = map[string]string{inject.ContainersAnnotation: "other,main"}
		}, want: HasAgent},
		{name: "shared process IDs and a signal", signal: "HUP", edit: func(p *corev1.Pod) { p.Spec.ShareProcessNamespace = &yes }, want: SharedPIDs},
		{name: "shared process IDs and none", edit: func(p *corev1.Pod) { p.Spec.ShareProcessNamespace = &yes }, at: "/app"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := Find(pod(c.edit), "", c.into, c.signal)
			var unfit *UnfitError
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want == "" && got.Into != c.at:
				t.Errorf("into %s, want %s", got.Into, c.at)
			case c.want != "" && (!errors.As(err, &unfit) || unfit.Kind != c.want):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestFindAsksWhichContainerIsMeant(t *testing.T) {
	t.Parallel()
	two := pod(func(p *corev1.Pod) {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "side", WorkingDir: "/"})
	})
	for _, name := range []string{"", "none"} {
		_, err := Find(two, name, "", "")
		var unknown *UnknownContainerError
		if !errors.As(err, &unknown) || len(unknown.Known) != 2 {
			t.Errorf("%q: %v", name, err)
		}
	}
	if c, err := Find(two, "main", "", ""); err != nil || c.String() != "p/main" {
		t.Errorf("%v, %v", c, err)
	}
}
