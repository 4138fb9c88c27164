package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/plugin/programimage"
)

// clusters makes those that are missing and gives them the images that this
// machine has.
func (d *Demo) clusters(ctx context.Context) error {
	type sandbox struct {
		Name string `json:"name"`
	}
	var there struct {
		Items []sandbox `json:"items"`
	}
	if err := d.read(ctx, &there, "sandbox", "list"); err != nil {
		return err
	}
	images, err := d.images(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{d.Sandbox, d.Production} {
		if slices.Contains(there.Items, sandbox{name}) {
			_, _ = fmt.Fprintf(d.Out, "sandbox %s is there\n", name)
		} else if err := d.ai("sandbox", "create", "--name", name, "--gpus", "fake")(ctx); err != nil {
			return err
		}
		if len(images) > 0 {
			if err := d.ai(append([]string{"sandbox", "load", "--name", name}, images...)...)(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// images are those of the bundle that the engine holds, and our own.
func (d *Demo) images(ctx context.Context) ([]string, error) {
	list, err := components.Embedded().List()
	if err != nil {
		return nil, err
	}
	var images []string
	for _, c := range list {
		for _, image := range c.Images {
			if slices.Contains(images, image) {
				continue
			}
			held := programimage.Services.Names(image)
			if !held {
				if held, err = d.Cluster.Held(ctx, image); err != nil {
					return nil, err
				}
			}
			if held {
				images = append(images, image)
			}
		}
	}
	slices.Sort(images)
	return images, nil
}

func (d *Demo) bundle(context.Context) error {
	written, err := write(d.Dir, d.Sandbox, d.Production)
	if err != nil {
		return err
	}
	said := "is there, and is used as it is"
	if written {
		said = "is yours to read and to change"
	}
	_, _ = fmt.Fprintf(d.Out, "%s %s\n", d.Dir, said)
	return nil
}

// settled shows that nothing is wrong before something is. The exporter looks
// at the served model every few seconds, so it is asked until it has seen the
// requests.
func (d *Demo) settled(ctx context.Context) error {
	judged := func(ctx context.Context) (bool, error) {
		var report struct {
			Samples float64 `json:"samples"`
		}
		err := d.read(ctx, &report, "drift", d.Dir, "-e", staging, "--samples", "1")
		return report.Samples >= 100, err
	}
	if err := await(ctx, time.Minute, "the drift exporter sees the requests", judged); err != nil {
		return err
	}
	return d.ai("drift", d.Dir, "-e", staging)(ctx)
}

// alert waits until Prometheus says so by itself.
func (d *Demo) alert(ctx context.Context) error {
	firing := func(ctx context.Context) (bool, error) {
		alerts, err := d.Cluster.Alerts(ctx, "kind-"+d.Sandbox, stagingNamespace)
		return slices.Contains(alerts, drifts), err
	}
	if err := await(ctx, 3*time.Minute, "the alert "+drifts+" fires", firing); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(d.Out, "Prometheus: the alert %s fires\n", drifts)
	return nil
}

// retrained waits for the run that the alert started.
func (d *Demo) retrained(ctx context.Context) error {
	var id string
	ended := func(ctx context.Context) (bool, error) {
		var runs struct {
			Items []struct {
				ID    string `json:"id"`
				Stage string `json:"stage"`
				Phase string `json:"phase"`
			} `json:"items"`
		}
		if err := d.read(ctx, &runs, "runs", "list", d.Dir, "-e", staging); err != nil {
			return false, err
		}
		for _, r := range runs.Items {
			if r.Stage == "retrain" {
				id = r.ID
				return strings.EqualFold(r.Phase, "complete"), nil
			}
		}
		return false, nil
	}
	if err := await(ctx, 4*time.Minute, "a retrain run ends well", ended); err != nil {
		return err
	}
	return d.ai("runs", "show", id, "--dir", d.Dir, "-e", staging)(ctx)
}
