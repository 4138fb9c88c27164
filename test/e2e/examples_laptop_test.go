//go:build e2e

package e2e

import "path/filepath"

// laptop is what needs no cluster of its own.
var laptop = scenario{name: "laptop", begin: func(u *user) {
	write(u.T, u.bundle, map[string]string{"src/model.ckpt": "weights", ".gitignore": "*.ckpt\n"})
	write(u.T, u.home, map[string]string{"src/nanoGPT/train.py": "import torch\n", "src/nanoGPT/requirements.txt": "torch\n"})
	u.sh("cd " + u.home + " && git init -q && git add samples")
}, examples: []example{
	{line: "kubectl ai version"},
	{line: "kubectl ai explain PRO-002"},
	{line: "kubectl ai explain -o json | jq -r '.items[] | select(.exitCode == 5).id'"},
	{line: "kubectl ai render samples/digits -e production"},
	{line: "kubectl ai render -e sandbox -o name"},
	{line: "kubectl ai digest"},
	{line: "kubectl ai digest samples/digits"},
	{line: "kubectl ai targets samples/digits"},
	{line: "kubectl ai targets --to production -o json | jq '.items[] | select(.gets).name'"},
	{line: "kubectl ai why-ignored src/model.ckpt"},
	{line: "kubectl ai why-ignored --dir samples/digits samples/digits/src/*"},
	{line: "git ls-files src | kubectl ai why-ignored -o json - | jq '.items[] | select(.included | not)'"},
	{line: "kubectl ai diff samples/digits --between sandbox,production"},
	{line: "kubectl ai diff --between sandbox,production --unexpected --exit-code", exit: 5}, // production trains for longer,
	{line: "kubectl ai catalog list"},
	{line: "kubectl ai catalog list -e production"},
	{line: "kubectl ai catalog list --context kind-ai -n default -o json"},
	{line: "kubectl ai catalog show stream"},
	{line: "kubectl ai catalog show train --files --variant production-jobset"},
	{line: "kubectl ai catalog add train samples/digits --variant production-jobset"},
	{line: "kubectl ai catalog add train"},
	{line: "kubectl ai init ~/src/nanoGPT --dry-run"},
	{line: "kubectl ai init", before: func(u *user) {
		u.bundle = filepath.Join(u.home, "src/nanoGPT") // a project without a bundle
	}},
	{line: "kubectl ai init --template digits"},
	{line: "kubectl ai setup --dry-run"},
	{line: "kubectl ai setup"},
	{line: "kubectl-ai setup --coexist"},
	{line: "kubectl ai setup --remove"},
	{line: "kubectl ai completion bash > kubectl-ai.bash"},
	{line: "kubectl ai completion --install"},
	{line: "kubectl ai completion zsh --remove"},
	{line: "kubectl ai doctor"},
	{line: "kubectl ai doctor --fix"},
	{line: "kubectl ai doctor -o json | jq '.findings[] | select(.status != \"OK\")'"},
}}
