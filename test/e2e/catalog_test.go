//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// catalogEntry is a component as `catalog list -o json` prints it.
type catalogEntry struct {
	Name     string
	Variants []struct {
		Folder string
		Needs  []struct{ Group, Kind string }
	}
	Standing struct {
		State   string
		Variant string
		Missing []struct{ Kind, Operator string }
		Objects int
	}
}

func catalogList(t *testing.T, args ...string) map[string]catalogEntry {
	t.Helper()
	var list struct{ Items []catalogEntry }
	if err := json.Unmarshal([]byte(must(t, append([]string{"catalog", "list", "-o", "json"}, args...)...).stdout), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) == 0 {
		t.Fatal("the catalogue is empty")
	}
	out := map[string]catalogEntry{}
	for _, item := range list.Items {
		out[item.Name] = item
	}
	return out
}

// definition is what is read of a CustomResourceDefinition.
type definition struct {
	Metadata struct{ Name string }
	Spec     struct {
		Group string
		Names struct{ Kind string }
	}
}

// definitions returns the CRDs of the shared folder, which the project does
// not hold, by group and kind.
func definitions(t *testing.T) map[string][]byte {
	t.Helper()
	folder := filepath.Join(cmp.Or(os.Getenv("KUBECTL_AI_SHARED"), filepath.Join(root, "../shared")), "crds")
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Logf("no CRDs in %s: forms with the kinds of operators were not checked by a server", folder)
	}
	out := map[string][]byte{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d definition
		if err := yaml.Unmarshal(raw, &d); err != nil {
			t.Fatal(err)
		}
		out[d.Spec.Group+"/"+d.Spec.Names.Kind] = raw
	}
	return out
}

// unheld are kinds of the catalogue whose CRDs that folder does not have.
var unheld = []string{"kafka.strimzi.io/KafkaBridge"}

// install brings CRDs into a cluster, without the conversion webhooks that
// only their operators answer. Those that the cluster lacked go with the test.
func install(t *testing.T, cluster string, crds [][]byte) {
	t.Helper()
	there := kubectl(t, cluster, "get", "crd", "-o", "name")
	var stream strings.Builder
	var names, missing []string
	for _, raw := range crds {
		var object map[string]any
		var d definition
		if err := yaml.Unmarshal(raw, &object); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(raw, &d); err != nil {
			t.Fatal(err)
		}
		object["spec"].(map[string]any)["conversion"] = map[string]any{"strategy": "None"}
		line, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		stream.Write(append(line, '\n'))
		name := "customresourcedefinition.apiextensions.k8s.io/" + d.Metadata.Name
		names = append(names, name)
		if !strings.Contains(there, name+"\n") {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		t.Cleanup(func() { uninstall(t, cluster, missing) })
	}
	if out, err := tryKubectl(t.Context(), cluster, stream.String(), "apply", "--server-side", "--field-manager=catalog-test", "--force-conflicts", "-f", "-"); err != nil {
		t.Fatalf("install the CRDs: %v\n%s", err, out)
	}
	kubectl(t, cluster, append([]string{"wait", "--for=condition=Established", "--timeout=60s"}, names...)...)
}

// uninstall takes CRDs away and waits until they are gone. The server's
// finalizer gives up on a kind whose storage it has not opened yet ("storage is
// (re)initializing"), and comes back when the CRD changes.
func uninstall(t *testing.T, cluster string, names []string) {
	run := func(args ...string) string {
		out, err := tryKubectl(context.Background(), cluster, "", args...)
		if err != nil {
			t.Errorf("delete the CRDs: %v\n%s", err, out)
		}
		return out
	}
	run(append([]string{"delete", "--ignore-not-found", "--wait=false"}, names...)...)
	eventually(t, time.Minute, func() error {
		left := strings.Fields(run(append([]string{"get", "--ignore-not-found", "-o", "name"}, names...)...))
		if len(left) == 0 {
			return nil
		}
		_, _ = tryKubectl(context.Background(), cluster, "", append([]string{"annotate", "--overwrite", "e2e/nudge=" + fmt.Sprint(time.Now().UnixNano())}, left...)...)
		return fmt.Errorf("still there: %v", left)
	})
	// kubectl remembers for hours which kinds there are, and `get all` would
	// ask for these.
	if out, err := exec.Command("docker", "exec", cluster+"-control-plane", "rm", "-rf", "/root/.kube/cache").CombinedOutput(); err != nil {
		t.Errorf("forget the kinds: %v\n%s", err, out)
	}
}

// formed writes a minimal bundle with one form of a component, added by the
// command itself.
func formed(t *testing.T, dir, ns, component, variant string) {
	t.Helper()
	write(t, dir, map[string]string{
		"kubectl-ai.yaml": fmt.Sprintf(`apiVersion: kubectl-ai.dev/v1alpha1
kind: Project
metadata: {name: %s}
environments:
  sandbox: {context: kind-%s}
  production: {context: kind-%s}
`, ns, sandboxName, productionName),
		"base/kustomization.yaml":                "resources: []\n",
		"overlays/sandbox/kustomization.yaml":    "namespace: " + ns + "\nresources: [../../base]\n",
		"overlays/production/kustomization.yaml": "namespace: " + ns + "\nresources: [../../base]\n",
	})
	if component == "" {
		return
	}
	args := []string{"catalog", "add", component, dir}
	if variant != "local" {
		args = append(args, "--variant", variant)
	}
	must(t, args...)
}

// strictly renders an overlay of each bundle below dir with the cluster's own
// kubectl, which knows no plugin, and has the server check every object with
// fieldValidation=Strict in a dry run. It returns what was said, by bundle.
func strictly(t *testing.T, cluster, dir, overlay string, bundles []string) map[string]string {
	t.Helper()
	node := cluster + "-control-plane"
	at := "/tmp/" + t.Name()
	inside := func(ctx context.Context, stdin io.Reader, args ...string) {
		cmd := exec.CommandContext(ctx, "docker", append([]string{"exec", "-i", node}, args...)...)
		cmd.Stdin = stdin
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	packed, err := exec.CommandContext(t.Context(), "tar", "-C", dir, "-cf", "-", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	inside(t.Context(), nil, "mkdir", "-p", at)
	inside(t.Context(), bytes.NewReader(packed), "tar", "-C", at, "-xf", "-")
	t.Cleanup(func() { inside(context.Background(), nil, "rm", "-rf", at) })
	// Two at a time, each into a file of its own.
	const script = `cd "$1" && overlay=$2 && shift 2 && export overlay KUBECONFIG=/etc/kubernetes/admin.conf
printf '%s\n' "$@" | xargs -P 2 -I {} sh -c '
  if kubectl kustomize {}/overlays/$overlay >{}.yaml 2>{}.out; then
    kubectl apply --server-side --field-manager=kubectl-ai --dry-run=server --validate=strict -f {}.yaml >{}.out 2>&1; echo "exit $?" >>{}.out
  fi'
for b in "$@"; do echo "=== $b"; cat "$b.out"; done`
	cmd := exec.CommandContext(t.Context(), "docker", append([]string{"exec", node, "bash", "-c", script, "-", at, overlay}, bundles...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said := map[string]string{}
	for _, part := range strings.Split(string(out), "=== ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		said[name] = text
	}
	return said
}

// taken reports what a server did not take as it is.
func taken(t *testing.T, form, said string) {
	t.Helper()
	if !strings.HasSuffix(said, "exit 0\n") || strings.Contains(said, "Warning: ") || !strings.Contains(said, "(server dry run)") {
		t.Errorf("%s:\n%s", form, said)
	}
}

// Every production form of every component is what the server and the schemas
// of the operators take, to the last field; before the operators are there, the
// catalogue says which is missing.
func TestProductionFormsAreTakenStrictly(t *testing.T) {
	const ns = "catalog-forms"
	namespace(t, productionName, ns)
	for _, level := range []string{"enforce", "warn"} {
		kubectl(t, productionName, "label", "namespace", ns, "pod-security.kubernetes.io/"+level+"=restricted")
	}
	dir := filepath.Join(t.TempDir(), "forms")
	crds := definitions(t)
	all := catalogList(t)

	state := filepath.Join(t.TempDir(), "state")
	formed(t, state, ns, "train", "production-jobset")
	formsOf := func() catalogEntry { return catalogList(t, state, "-e", "production")["train"] }
	there := strings.Contains(kubectl(t, productionName, "get", "crd", "-o", "name"), "jobsets.jobset.x-k8s.io")
	if train := formsOf(); !there && (train.Standing.State != "blocked" || len(train.Standing.Missing) != 1 || train.Standing.Missing[0].Operator != "JobSet") {
		t.Errorf("without its operator train is %+v", train.Standing)
	}

	var wanted [][]byte
	var forms []string
	brought := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, v := range all[name].Variants {
			if v.Folder == "local" {
				continue
			}
			unknown := ""
			for _, need := range v.Needs {
				key := need.Group + "/" + need.Kind
				raw, ok := crds[key]
				if !ok {
					unknown = key
				} else if !brought[key] {
					brought[key] = true
					wanted = append(wanted, raw)
				}
			}
			if unknown != "" {
				t.Logf("no CRD of %s: %s %s was not checked by a server", unknown, name, v.Folder)
				if len(crds) > 0 && !slices.Contains(unheld, unknown) {
					t.Errorf("the folder of CRDs lacks %s", unknown)
				}
				continue
			}
			form := name + "." + v.Folder
			formed(t, filepath.Join(dir, form), ns, name, v.Folder)
			forms = append(forms, form)
		}
	}
	if len(wanted) > 0 {
		install(t, productionName, wanted)
	}
	if brought["jobset.x-k8s.io/JobSet"] {
		eventually(t, 30*time.Second, func() error { // established is not yet served
			if train := formsOf(); train.Standing.State != "absent" || train.Standing.Variant != "production-jobset" {
				return fmt.Errorf("with its operator train is %+v", train.Standing)
			}
			return nil
		})
		// A field that nobody knows: the server has to say so.
		wrong := filepath.Join(dir, "wrong")
		formed(t, wrong, ns, "train", "production-jobset")
		file := filepath.Join(wrong, "components/train/production-jobset/jobset.yaml")
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		save(t, file, strings.Replace(string(raw), "        parallelism: 2\n", "        paralelism: 2\n", 1))
		forms = append(forms, "wrong")
	}
	said := strictly(t, productionName, dir, "production", forms)
	for _, form := range forms {
		if form == "wrong" {
			if !strings.Contains(said[form], "paralelism") || strings.HasSuffix(said[form], "exit 0\n") {
				t.Errorf("a mistyped field is taken:\n%s", said[form])
			}
			continue
		}
		taken(t, form, said[form])
	}
	t.Logf("%d bundles, %d CRDs", len(forms), len(wanted))

	if brought["jobset.x-k8s.io/JobSet"] {
		apply(t, productionName, must(t, "render", state, "-e", "production").stdout)
		if train := formsOf(); train.Standing.State != "installed" || train.Standing.Objects != 1 {
			t.Errorf("once it is there train is %+v", train.Standing)
		}
		kubectl(t, productionName, "delete", "jobset", "-n", ns, "train")
	}
}

// Every local form is what the sandbox takes as it is, without any operator.
func TestLocalFormsAreTakenStrictly(t *testing.T) {
	const ns = "catalog-local"
	namespace(t, sandboxName, ns)
	for _, level := range []string{"enforce", "warn"} {
		kubectl(t, sandboxName, "label", "namespace", ns, "pod-security.kubernetes.io/"+level+"=restricted")
	}
	dir := filepath.Join(t.TempDir(), "forms")
	crds := definitions(t)
	all := catalogList(t)
	var forms []string
	var wanted [][]byte
	for _, name := range slices.Sorted(maps.Keys(all)) {
		unknown := ""
		for _, need := range all[name].Variants[0].Needs {
			if raw, ok := crds[need.Group+"/"+need.Kind]; ok {
				wanted = append(wanted, raw)
			} else {
				unknown = need.Group + "/" + need.Kind
			}
		}
		if unknown != "" {
			t.Logf("no CRD of %s: the local form of %s was not checked by a server", unknown, name)
			continue
		}
		formed(t, filepath.Join(dir, name), ns, name, "local")
		forms = append(forms, name)
	}
	if len(wanted) > 0 {
		install(t, sandboxName, wanted)
	}
	for form, said := range strictly(t, sandboxName, dir, "sandbox", forms) {
		taken(t, form, said)
	}
}
