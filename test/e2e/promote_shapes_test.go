//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// httpRoutes is the CRD of the Gateway API, which the project does not hold.
const httpRoutes = "crds/gateway.networking.k8s.io_httproutes.yaml"

// Bundles of ten shapes live through all that a release can: they come, come
// again with nothing to do, change, go back, and leave the cluster as it was.
func TestPromoteBundlesOfManyShapes(t *testing.T) {
	files, err := filepath.Glob("testdata/shapes/*.txtar")
	if err != nil || len(files) != 10 {
		t.Fatalf("%d shapes, %v", len(files), err)
	}
	crd, err := os.ReadFile(filepath.Join(cmp.Or(os.Getenv("KUBECTL_AI_SHARED"), filepath.Join(root, "../shared")), httpRoutes))
	if err == nil {
		apply(t, productionName, string(crd))
		t.Cleanup(func() {
			_, _ = tryKubectl(context.Background(), productionName, "", "delete", "crd", "httproutes.gateway.networking.k8s.io")
		})
		kubectl(t, productionName, "wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io")
	} else {
		fmt.Printf("not checked, since KUBECTL_AI_SHARED has no %s: a bundle with an HTTPRoute\n", httpRoutes)
		files = slices.DeleteFunc(files, func(f string) bool { return filepath.Base(f) == "route.txtar" })
	}
	must(t, "sandbox", "load", pythonImage, "--name", productionName)
	// What earlier tests left behind has to be gone, or it would go meanwhile.
	var before []string
	eventually(t, 3*time.Minute, func() error {
		going, err := tryKubectl(t.Context(), productionName, "", "get", "namespaces,crds", "-o", `jsonpath={range .items[?(@.metadata.deletionTimestamp)]}{.kind}/{.metadata.name} {end}`)
		if err != nil {
			return fmt.Errorf("%w: %s", err, going)
		}
		if strings.TrimSpace(going) != "" {
			return fmt.Errorf("%s are being deleted", going)
		}
		last := before
		if before, err = everything(t); err != nil {
			return err
		}
		if d := gocmp.Diff(last, before); d != "" {
			return fmt.Errorf("the cluster changes by itself:\n%s", d)
		}
		return nil
	})
	t.Run("all", func(t *testing.T) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				t.Parallel()
				shape(t, file)
			})
		}
	})
	// Pods and what provisioners keep for a claim go a moment after it.
	eventually(t, 2*time.Minute, func() error {
		after, err := everything(t)
		if err != nil {
			return err
		}
		if d := gocmp.Diff(before, after); d != "" {
			return fmt.Errorf("the cluster is not as it was (-before +after):\n%s", d)
		}
		return nil
	})
}

func shape(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ns := "shape-" + strings.TrimSuffix(filepath.Base(file), ".txtar")
	bundle, change := map[string]string{
		"src/app.py": "import time\nprint('up', flush=True)\ntime.sleep(1e6)\n",
		"kubectl-ai.yaml": fmt.Sprintf("apiVersion: kubectl-ai.dev/v1alpha1\nkind: Project\nmetadata: {name: %[1]s}\ncode: [{path: src, mountPath: /app}]\n"+
			"environments: {production: {context: kind-%[2]s, namespace: %[1]s, codeFormat: configMap}}\n", ns, productionName),
	}, map[string]string{}
	for _, f := range archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "change/"); ok {
			change[name] = string(f.Data)
		} else {
			bundle[f.Name] = string(f.Data)
		}
	}
	dir := filepath.Join(t.TempDir(), ns)
	write(t, dir, bundle)
	promote := func() result { return must(t, "promote", dir, "--to", "production", "--yes", "--unproven") }

	promote()
	first := applied(t, ns)
	if len(first) < 3 {
		t.Fatalf("%d objects are there: %v", len(first), first)
	}
	versions := resourceVersions(t, ns)
	if r := promote(); !strings.Contains(r.stderr, "nothing to do") {
		t.Errorf("the same bundle again: %s", r.stderr)
	}
	// Controllers write the status of what they own; what they do not own has
	// to be as it was to the last field.
	for ref, version := range resourceVersions(t, ns) {
		if before, ok := versions[ref]; !ok || before != version && strings.HasPrefix(ref, "configmaps/") {
			t.Errorf("%s was %q and is %q", ref, before, version)
		}
	}

	write(t, dir, change)
	promote()
	if d := gocmp.Diff(first, applied(t, ns)); d == "" {
		t.Error("the change changed nothing")
	}
	must(t, "rollback", dir, "--to", "production", "--yes")
	// A run that the rollback finds under way goes on: nobody asked to end it.
	now := applied(t, ns)
	maps.DeleteFunc(now, func(ref, _ string) bool { return strings.HasPrefix(ref, "Job/") && first[ref] == "" })
	if d := gocmp.Diff(first, now); d != "" {
		t.Errorf("the rollback brought back something else (-first +now):\n%s", d)
	}
	if h := history(t, dir); h.Current != 3 || len(h.Items) != 3 {
		t.Errorf("history is %+v", h)
	}
	must(t, "uninstall", dir, "--to", "production", "--yes", "--delete-data=all")
	if h := history(t, dir); h.Current != 0 || len(h.Items) != 0 {
		t.Errorf("history after uninstall is %+v", h)
	}
}

// applied returns what the bundle's objects say, by kind and name, as they
// were applied: without what the server and its controllers add. A run counts
// by its template, since going back is another run of another name.
func applied(t *testing.T, project string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, obj := range members(t, project) {
		metadata := obj["metadata"].(map[string]any)
		kind, name := obj["kind"].(string), metadata["name"].(string)
		var said any
		switch kind {
		case "Job":
			if job, _ := obj["status"].(map[string]any); job["succeeded"] != nil {
				continue // done, and it stays for two releases
			}
			template := obj["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
			said, name = template["containers"], name[:strings.LastIndex(name, "-")]
			if base, _, ok := strings.Cut(name, "-"); ok {
				name = base
			}
		case "ConfigMap", "Secret":
			said = []any{obj["data"], obj["binaryData"]}
		case "Deployment", "StatefulSet":
			said = obj["spec"].(map[string]any)["template"]
		default:
			said = []any{obj["spec"], obj["rules"], obj["roleRef"], obj["subjects"], obj["webhooks"], obj["value"]}
		}
		raw, err := json.Marshal(said)
		if err != nil {
			t.Fatal(err)
		}
		out[kind+"/"+name+" "+string(raw)] = "there"
	}
	return out
}

// resourceVersions are those of a project's objects.
func resourceVersions(t *testing.T, project string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, obj := range members(t, project) {
		metadata := obj["metadata"].(map[string]any)
		out[strings.ToLower(obj["kind"].(string))+"s/"+metadata["name"].(string)] = metadata["resourceVersion"].(string)
	}
	return out
}

// members are the objects of a project, wherever they are.
func members(t *testing.T, project string) []map[string]any {
	t.Helper()
	kinds := "namespaces,configmaps,secrets,services,serviceaccounts,persistentvolumeclaims,limitranges,deployments,statefulsets,jobs,cronjobs,roles,rolebindings," +
		"clusterroles,clusterrolebindings,priorityclasses,validatingwebhookconfigurations,customresourcedefinitions"
	for _, optional := range []string{"experiments.shapes.example", "httproutes.gateway.networking.k8s.io"} {
		if _, err := tryKubectl(t.Context(), productionName, "", "get", "crd", optional); err == nil && (project == "shape-crd" || project == "shape-route") {
			kinds += "," + optional
		}
	}
	var out string
	// A kind that another shape makes or takes away meanwhile fails the list.
	eventually(t, 30*time.Second, func() (err error) {
		out, err = tryKubectl(t.Context(), productionName, "", "get", kinds, "-A", "-l", "applyset.kubernetes.io/part-of,kubectl-ai.dev/project="+project, "-o", "json")
		if err != nil {
			return fmt.Errorf("list the objects of %s: %w\n%s", project, err, out)
		}
		return nil
	})
	var list struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// everything names all objects of the production cluster but those that come
// and go by themselves. A kind that goes away meanwhile fails the list.
func everything(t *testing.T) ([]string, error) {
	t.Helper()
	kinds, err := tryKubectl(t.Context(), productionName, "", "api-resources", "--verbs=list", "-o", "name")
	if err != nil {
		return nil, fmt.Errorf("list the kinds: %w: %s", err, kinds)
	}
	listed := slices.DeleteFunc(strings.Fields(kinds), func(r string) bool {
		name, group, _ := strings.Cut(r, ".")
		return name == "events" || name == "leases" || name == "endpoints" || group == "metrics.k8s.io"
	})
	out, err := tryKubectl(t.Context(), productionName, "", "get", strings.Join(listed, ","), "-A", "--ignore-not-found", "-o",
		`jsonpath={range .items[*]}{.kind}{" "}{.metadata.namespace}{"/"}{.metadata.name}{"\n"}{end}`)
	if err != nil {
		return nil, fmt.Errorf("list all objects: %w: %.2000s", err, out)
	}
	names := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(names)
	return slices.Compact(names), nil
}
