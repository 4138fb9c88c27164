//go:build e2e

package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"path/filepath"
)

// promotion is what ran in the sandbox, on its way to production.
var promotion = scenario{name: "promotion", begin: func(u *user) {
	namespace(u.T, sandboxName, u.ns)
	u.Cleanup(func() {
		_ = u.shell("kubectl ai uninstall --to production --delete-data all --yes").Run()
		_ = u.shell("kubectl ai uninstall --to staging --delete-data all --yes").Run()
	})
	keyPair(u.T, filepath.Join(u.bundle, "keys"), "ci", signer(u))
	u.env = append(u.env, "KUBECTL_AI_SIGN_KEY="+filepath.Join(u.bundle, "keys/ci.pem"))
	u.edit("kubectl-ai.yaml", "inSandbox: true", "inSandbox: true\n    namespace: "+u.ns+"-staging\n    registry: localhost:"+registryPort+"/staging")
	write(u.T, u.bundle, map[string]string{
		"overlays/staging/kustomization.yaml":  "namespace: " + u.ns + "-staging\nresources: [../../base, namespace.yaml]\n",
		"overlays/staging/namespace.yaml":      "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + u.ns + "-staging}\n",
		"overlays/production/settings.yaml":    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {value: \"0\"}\n",
		"overlays/production/checkpoints.yaml": "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: checkpoints}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n",
	})
	u.edit("overlays/production/kustomization.yaml", "- namespace.yaml\n", "- namespace.yaml\n- settings.yaml\n- checkpoints.yaml\n")
	u.sh("kubectl ai dev --once")
	u.sh("kubectl config use-context kind-" + productionName)
}, examples: []example{
	{line: "kubectl ai clusters --to production"},
	{line: "kubectl ai clusters --to production -o json | jq '.items[].uid'"},
	{line: "kubectl ai rbac --to production"},
	{line: "kubectl ai rbac --to production --for system:serviceaccount:ci:deployer | kubectl apply -f -", before: func(u *user) {
		namespace(u.T, productionName, u.ns)
	}, after: func(u *user, _ string) {
		u.sh("kubectl ai rbac --to production --for system:serviceaccount:ci:deployer | kubectl delete -f -")
	}},
	{line: "kubectl ai promote --to production --dry-run"},
	{line: "kubectl ai promote samples/digits --to production", says: "? ", types: yes},
	{line: "kubectl ai promote --to production --yes -o json | jq .treeDigest", before: settle("1")},
	{line: "kubectl ai history --to production", before: func(u *user) {
		for _, value := range []string{"2", "3"} {
			settle(value)(u)
			u.sh("kubectl ai promote --to production --yes")
		}
	}},
	{line: "kubectl ai history samples/digits --to production -o json | jq '.items[].revision'"},
	{line: "kubectl ai show --to production"},
	{line: "kubectl ai show --to production --release 3 -o yaml"},
	{line: "kubectl ai diff --to production"},
	{line: "kubectl ai diff --to production --releases 3,4"},
	{line: "kubectl ai verify --to production -o json | jq '.findings[] | select(.verdict == \"differs\")'"},
	{line: "kubectl ai verify --to production --key keys/ci.pub"},
	{line: "kubectl ai rollback --to production", says: "? ", types: yes},
	{line: "kubectl ai rollback --to production --to-release 3", says: "? ", types: yes, before: func(u *user) {
		u.sh("kubectl ai promote --to production --yes")
	}},
	{line: "kubectl ai promote --from staging --to production", says: "? ", types: yes, before: func(u *user) {
		u.sh("kubectl ai promote --to staging --yes")
	}},
	{line: "kubectl ai promote --to production --into ../fleet/production"},
	{line: "kubectl ai uninstall --to production --dry-run"},
	{line: "kubectl ai uninstall --to production --delete-data PersistentVolumeClaim/checkpoints --yes"},
	{line: "kubectl ai uninstall --to production --delete-data all", says: "? ", types: yes, before: func(u *user) {
		u.sh("kubectl ai promote --to production --yes")
	}},
}}

// settle changes what is no code.
func settle(value string) func(*user) {
	return func(u *user) {
		write(u.T, u.bundle, map[string]string{"overlays/production/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {value: \"" + value + "\"}\n"})
	}
}

func signer(u *user) ed25519.PrivateKey {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		u.Fatal(err)
	}
	return private
}
