//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// A bundle is compared with what its cluster runs, and a release with another
// one. Nothing is written, and no value of a Secret is shown.
func TestDiffWithACluster(t *testing.T) {
	const ns = "compared"
	files := job(ns, 1, "")
	files["kubectl-ai.yaml"] = strings.Replace(files["kubectl-ai.yaml"], "registry: \"localhost:"+registryPort+"/e2e\"", "codeFormat: configMap", 1)
	files["base/kustomization.yaml"] = "resources: [job.yaml, service.yaml, settings.yaml]\n"
	settings := func(epochs, token string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {epochs: \"" + epochs + "\"}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {token: " + token + "}\n"
	}
	files["base/settings.yaml"] = settings("5", "first-hidden-value")
	dir := bundle(t, productionName, ns, files)
	must(t, "sandbox", "load", pythonImage, "--name", productionName)
	diff := func(code int, args ...string) result {
		t.Helper()
		r := ai(t, append([]string{"diff", dir, "--to", "production"}, args...)...)
		if r.code != code {
			t.Fatalf("exit %d, want %d\n%s\n%s", r.code, code, r.stdout, r.stderr)
		}
		for _, hidden := range []string{"hidden-value", "LWhpZGRlbi12YWx1Z"} {
			if strings.Contains(r.stdout+r.stderr, hidden) {
				t.Errorf("it shows %s\n%s\n%s", hidden, r.stdout, r.stderr)
			}
		}
		return r
	}
	if r := diff(5, "--exit-code"); !strings.Contains(r.stdout, "create ConfigMap/settings") {
		t.Errorf("before the first release: %s", r.stdout)
	}
	must(t, "promote", dir, "--to", "production", "--unproven", "--yes")
	if r := diff(0, "--exit-code"); r.stdout != "" {
		t.Errorf("of what was just applied it says\n%s", r.stdout)
	}

	save(t, filepath.Join(dir, "base/settings.yaml"), settings("50", "second-hidden-value"))
	versions := func() string {
		return kubectl(t, productionName, "get", "jobs,services,configmaps,secrets", "-n", ns, "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
	}
	before := versions()
	r := diff(0)
	for _, want := range []string{"update ConfigMap/settings", "-  epochs: \"5\"", "+  epochs: \"50\"", "update Secret/token", "-  token: '*** (18 bytes", "+  token: '*** (19 bytes"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("it does not say %q:\n%s", want, r.stdout)
		}
	}
	diff(5, "--exit-code")
	if after := versions(); after != before {
		t.Errorf("something was written:\n%s\nwas\n%s", after, before)
	}

	must(t, "promote", dir, "--to", "production", "--unproven", "--yes")
	if r := diff(5, "--releases", "1,2", "--exit-code"); !strings.Contains(r.stdout, "+  epochs: \"50\"") || strings.Contains(r.stdout, "Job/") {
		t.Errorf("release 2 differs from 1 in\n%s", r.stdout)
	}
	diff(0, "--releases", "2,2", "--exit-code")
	diff(3, "--releases", "1,9")
}
