package components_test

import (
	"encoding/json"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
)

// form renders a form of a component.
func form(t *testing.T, name, variant string) []*unstructured.Unstructured {
	t.Helper()
	c, err := components.Embedded().Get(name)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := c.Render(variant)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func find(t *testing.T, objects []*unstructured.Unstructured, kind, prefix string) *unstructured.Unstructured {
	t.Helper()
	for _, obj := range objects {
		if obj.GetKind() == kind && strings.HasPrefix(obj.GetName(), prefix) {
			return obj
		}
	}
	t.Fatalf("no %s %s", kind, prefix)
	return nil
}

// The sandbox's Prometheus judges as production's does.
func TestMonitorHasTheSameRulesEverywhere(t *testing.T) {
	files, _, err := unstructured.NestedStringMap(find(t, form(t, "monitor", components.Local), "ConfigMap", "prometheus-").Object, "data")
	if err != nil {
		t.Fatal(err)
	}
	var local map[string]any
	if err := yaml.UnmarshalStrict([]byte(files["rules.yml"]), &local); err != nil {
		t.Fatal(err)
	}
	production := find(t, form(t, "monitor", components.Production), "PrometheusRule", "served-model").Object["spec"]
	if diff := cmp.Diff(local, production); diff != "" || len(local) == 0 {
		t.Error(diff)
	}
}

func TestDashboardsAreWhole(t *testing.T) {
	seen := 0
	for _, obj := range form(t, "monitor", components.Production) {
		if obj.GetLabels()["grafana_dashboard"] != "1" {
			continue
		}
		data, _, err := unstructured.NestedStringMap(obj.Object, "data")
		if err != nil {
			t.Fatal(err)
		}
		for file, content := range data {
			seen++
			var board struct {
				UID    string
				Title  string
				Panels []struct {
					ID      int
					Title   string
					Targets []struct{ Expr, RefID string }
					GridPos struct{ X, Y, W, H int }
				}
			}
			if err := json.Unmarshal([]byte(content), &board); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if board.UID == "" || board.Title == "" || len(board.Panels) == 0 {
				t.Errorf("%s: %+v", file, board)
			}
			taken := map[[2]int]string{}
			for i, p := range board.Panels {
				if p.ID != i+1 || p.Title == "" || len(p.Targets) == 0 {
					t.Errorf("%s: panel %d is %+v", file, i, p)
				}
				for _, target := range p.Targets {
					if target.Expr == "" || target.RefID == "" {
						t.Errorf("%s: panel %q has the target %+v", file, p.Title, target)
					}
				}
				for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
					for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
						if other := taken[[2]int{x, y}]; other != "" {
							t.Fatalf("%s: panels %q and %q overlap", file, other, p.Title)
						}
						taken[[2]int{x, y}] = p.Title
					}
				}
			}
		}
	}
	if seen != 3 {
		t.Errorf("%d dashboards", seen)
	}
}

// The replacement that the notes give makes a retraining the very Job that
// trained.
func TestRetrainAsTrain(t *testing.T) {
	fsys := filesys.MakeFsInMemory()
	var replacement string
	for _, name := range []string{"train", "monitor"} {
		c, err := components.Embedded().Get(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, note := range c.Notes {
			if found := regexp.MustCompile(`replacements: \[.*\]`).FindString(note); found != "" {
				replacement = found
			}
		}
		files, err := c.Files()
		if err != nil {
			t.Fatal(err)
		}
		for file, content := range files {
			if err := fsys.WriteFile(path.Join("/components", name, file), content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := fsys.WriteFile("/overlay/kustomization.yaml", []byte("components: [../components/train/local, ../components/monitor/local]\n"+replacement+"\n")); err != nil {
		t.Fatal(err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fsys, "/overlay")
	if err != nil {
		t.Fatal(err)
	}
	var job, cron any
	for _, r := range built.Resources() {
		object, err := r.Map()
		if err != nil {
			t.Fatal(err)
		}
		switch r.GetKind() {
		case "Job":
			job = object["spec"]
		case "CronJob":
			cron, _, _ = unstructured.NestedFieldNoCopy(object, "spec", "jobTemplate", "spec")
		}
	}
	if diff := cmp.Diff(job, cron); diff != "" || job == nil {
		t.Error(diff)
	}
}
