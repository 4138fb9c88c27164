package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/logs"
	"github.com/kubectl-ai/kubectl-ai/plugin/report"
)

// logsAtOnce is how many logs of a cluster are read at a time. Chosen.
const logsAtOnce = 6

// logs are the ends of what containers said, and of a run whose pods are gone
// what was kept of it here.
func (b *reporter) logs(ctx context.Context, files *report.Files) error {
	if b.Tail == 0 {
		return nil
	}
	pods, err := b.pods(ctx)
	if err != nil {
		return err
	}
	if len(pods) == 0 && b.Run != "" && b.copies != nil {
		return b.keptLogs(files)
	}
	var group errgroup.Group
	group.SetLimit(logsAtOnce)
	var mu sync.Mutex // guards errs
	var errs []error
	for _, pod := range pods {
		if b.blind != nil && givenSecrets(&pod) {
			mu.Lock()
			errs = append(errs, fmt.Errorf("pod %s: it is given Secrets, whose values could not be looked for", pod.Name))
			mu.Unlock()
			continue
		}
		for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if status.ContainerID == "" {
				continue // it has not said anything
			}
			for _, previous := range []bool{false, true}[:1+min(1, int(status.RestartCount))] {
				group.Go(func() error {
					err := b.tail(ctx, files, pod.Name, status.Name, previous)
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, err)
					return nil
				})
			}
		}
	}
	_ = group.Wait()
	return errors.Join(errs...)
}

func (b *reporter) tail(ctx context.Context, files *report.Files, pod, container string, previous bool) error {
	name := path.Join("logs", pod, container+map[bool]string{true: ".previous"}[previous]+".log")
	log, err := b.client.CoreV1().Pods(b.namespace).GetLogs(pod, &corev1.PodLogOptions{Container: container, Previous: previous, TailLines: &b.Tail, Timestamps: true}).Stream(ctx)
	if err == nil {
		err = errors.Join(files.Tail(name, log), log.Close())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (b *reporter) keptLogs(files *report.Files) error {
	if b.blind != nil {
		return errors.New("what is kept of the run's logs here is left out: values of Secrets could not be looked for")
	}
	kept, err := b.copies.Read(b.Run)
	if err != nil {
		return err
	}
	return addTable(files, "logs/"+b.Run+".log", func(w io.Writer) error {
		for _, l := range kept[max(0, len(kept)-int(b.Tail)):] {
			if err := (logs.Printer{To: w}).Print(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// givenSecrets says whether containers of a pod get values of Secrets.
func givenSecrets(pod *corev1.Pod) bool {
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil || v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool { return s.Secret != nil }) {
			return true
		}
	}
	return slices.ContainsFunc(slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers), func(c corev1.Container) bool {
		return slices.ContainsFunc(c.EnvFrom, func(e corev1.EnvFromSource) bool { return e.SecretRef != nil }) ||
			slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil })
	})
}
