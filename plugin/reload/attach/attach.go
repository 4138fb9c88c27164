// Package attach brings code into a container that was started without the
// agent and is not to be restarted. Through exec it looks whether the
// container can take files, puts the agent beside the code, and opens a stream
// to it; that agent keeps generations in the code's folder as it does
// elsewhere, but starts and stops nothing.
//
// The container's first process goes on. It finds each generation under the
// same paths, and is told by a signal where one is wanted.
package attach

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/inject"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Kind says what a container lacks.
type Kind string

// The kinds of UnfitError.
const (
	NotRunning Kind = "NotRunning"
	HasAgent   Kind = "HasAgent"   // dev put it there
	NoShell    Kind = "NoShell"    // nothing in it can receive a file
	NoFolder   Kind = "NoFolder"   // the code's folder is not there
	ReadOnly   Kind = "ReadOnly"   // as the pod's manifest says
	NotOwner   Kind = "NotOwner"   // the container's user may not write there
	SharedPIDs Kind = "SharedPIDs" // process 1 is not the container's
	Gone       Kind = "Gone"
)

// UnfitError says why code cannot be brought into a container.
type UnfitError struct {
	Where  string // pod/container
	Kind   Kind
	Detail string
}

func (e *UnfitError) Error() string { return e.Where + ": " + e.Detail }

// Permanent tells those who dial again and again that it is of no use.
func (e *UnfitError) Permanent() bool { return e.Kind == Gone }

// UnknownContainerError says that it has to be said which container is meant.
type UnknownContainerError struct {
	Pod   string
	Name  string // "": none was named
	Known []string
}

func (e *UnknownContainerError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("pod %s has the containers %s", e.Pod, strings.Join(e.Known, ", "))
	}
	return fmt.Sprintf("pod %s has no container %s, only %s", e.Pod, e.Name, strings.Join(e.Known, ", "))
}

// Container is where the code goes.
type Container struct {
	Pod    *corev1.Pod
	Name   string
	Into   string // the code's folder, absolute
	Signal string // that tells process 1, such as HUP; "": none
}

// String is pod/container.
func (c *Container) String() string { return c.Pod.Name + "/" + c.Name }

// Find chooses a container of a pod, the only one where name is empty, and
// the folder, its workingDir where into is empty, and looks at what the
// manifest says of them. It returns *UnknownContainerError or *UnfitError.
func Find(pod *corev1.Pod, name, into, signal string) (*Container, error) {
	var known []string
	for _, c := range pod.Spec.Containers {
		known = append(known, c.Name)
	}
	if name == "" && len(known) == 1 {
		name = known[0]
	}
	i := slices.Index(known, name)
	if i < 0 {
		return nil, &UnknownContainerError{Pod: pod.Name, Name: name, Known: known}
	}
	spec := &pod.Spec.Containers[i]
	if into == "" {
		into = spec.WorkingDir
	}
	c := &Container{Pod: pod, Name: name, Into: path.Clean(into), Signal: signal}
	switch {
	case pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil:
		return nil, c.unfit(NotRunning, "the pod does not run: it is %s", strings.ToLower(string(pod.Status.Phase)))
	case slices.Contains(strings.Split(pod.Annotations[inject.ContainersAnnotation], ","), name):
		return nil, c.unfit(HasAgent, "dev put the agent there")
	case into == "" || c.Into == "/":
		return nil, c.unfit(NoFolder, "it has no workingDir to bring the code into")
	case signal != "" && (pod.Spec.HostPID || pod.Spec.ShareProcessNamespace != nil && *pod.Spec.ShareProcessNamespace):
		return nil, c.unfit(SharedPIDs, "the pod shares its process IDs, so process 1 is not the container's and cannot be told by a signal")
	}
	if why := stopped(pod, name); why != "" {
		return nil, c.unfit(NotRunning, "the container does not run: %s", why)
	}
	if why := readOnly(pod, spec, c.Into); why != "" {
		return nil, c.unfit(ReadOnly, "%s", why)
	}
	return c, nil
}

func (c *Container) unfit(kind Kind, format string, args ...any) error {
	return &UnfitError{Where: c.String(), Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// stopped says why a container of a pod that runs does not, as it begins again;
// "": it does.
func stopped(pod *corev1.Pod, name string) string {
	i := slices.IndexFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == name })
	if i < 0 {
		return ""
	}
	switch state := pod.Status.ContainerStatuses[i].State; {
	case state.Waiting != nil:
		return "it waits (" + cmp.Or(state.Waiting.Reason, "no reason is given") + ")"
	case state.Terminated != nil:
		return fmt.Sprintf("it has ended with exit code %d", state.Terminated.ExitCode)
	}
	return ""
}

// readOnly says why nothing can be written to a folder, as far as the manifest
// tells; "": it does not.
func readOnly(pod *corev1.Pod, c *corev1.Container, dir string) string {
	var mount *corev1.VolumeMount
	for i, m := range c.VolumeMounts {
		at := path.Clean(m.MountPath)
		if (dir == at || strings.HasPrefix(dir, at+"/")) && (mount == nil || len(at) > len(path.Clean(mount.MountPath))) {
			mount = &c.VolumeMounts[i]
		}
	}
	if mount == nil {
		if s := c.SecurityContext; s != nil && s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem {
			return dir + " is on the container's read-only root filesystem, and no volume is mounted there"
		}
		return ""
	}
	if mount.ReadOnly {
		return fmt.Sprintf("volume %s is mounted read-only at %s", mount.Name, mount.MountPath)
	}
	for _, v := range pod.Spec.Volumes {
		if v.Name == mount.Name && (v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil || v.Image != nil) {
			return fmt.Sprintf("volume %s at %s is of a kind that nothing can be written to", v.Name, mount.MountPath)
		}
	}
	return ""
}

// program is where an agent lies, beside the generations.
func (c *Container) program(digest string) string {
	return path.Join(c.Into, tree.Reserved, "attach-"+digest)
}
