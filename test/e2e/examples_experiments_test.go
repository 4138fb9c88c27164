//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
)

// experiments are runs of two stages, and what is seen of them.
var experiments = scenario{name: "experiments", begin: func(u *user) {
	namespace(u.T, sandboxName, u.ns)
	copyRunBundle(u.T, u.bundle, u.ns)
	train := read(u.T, filepath.Join(u.bundle, "base/train.yaml"))
	data := strings.NewReplacer("name: train\n", "name: data\n", "stage: train", "stage: data", "train.py", "data.py", "app: train", "app: data").Replace(train)
	write(u.T, u.bundle, map[string]string{"base/data.yaml": data, "src/data.py": "print('shards')\n"})
	u.edit("base/kustomization.yaml", "train.yaml", "train.yaml, data.yaml")
}, examples: []example{
	{line: "kubectl ai run --wait", after: latest("k7x2mq")},
	{line: "kubectl ai run --stage data --ranks 4 --wait", after: latest("b4n9ws")},
	{line: "kubectl ai status samples/digits"},
	{line: "kubectl ai status -w", says: "GPUs healthy", types: ctrlC, exit: 130},
	{line: "kubectl ai status -w --run k7x2mq --timeout 10m"},
	{line: "kubectl ai status -o json | jq '.resources[] | select(.name == \"nvidia.com/gpu\").free'"},
	{line: "kubectl ai why k7x2mq"},
	{line: "kubectl ai why train-0-x7k2p -n team-a -o json", before: func(u *user) {
		u.means("-n team-a", "-n "+u.ns)
		u.means("train-0-x7k2p", u.sh("kubectl get pods -n "+u.ns+" -l app=train -o jsonpath='{.items[0].metadata.name}'"))
	}},
	{line: "kubectl ai report"},
	{line: "kubectl ai report k7x2mq --file digits.tar.gz"},
	{line: "kubectl ai report --dry-run"},
	{line: "kubectl ai report -f - | tar tz"},
	{line: "kubectl ai report --dry-run -o json | jq -r '.missing[] | .part + \": \" + .reason'"},
	{line: "kubectl ai logs"},
	{line: "kubectl ai logs k7x2mq --rank 0 --tail 50"},
	{line: "kubectl ai logs -f --since 5m"},
	{line: "kubectl ai logs -o json | jq -r 'select(.rank == 1).line'"},
	{line: "kubectl ai runs list"},
	{line: "kubectl ai runs list samples/digits -o json | jq -r '.items[] | select(.phase == \"Failed\").id'"},
	{line: "kubectl ai runs show k7x2mq"},
	{line: "kubectl ai runs show k7x2mq -o json | jq '.metrics[] | {name, best}'"},
	{line: "kubectl ai runs compare k7x2mq b4n9ws"},
	{line: "kubectl ai runs wait k7x2mq --timeout 1h"},
	{line: "kubectl ai runs delete k7x2mq", says: "? ", types: yes},
	{line: "kubectl ai run --set epochs=3 --gpus 1"},
	{line: "kubectl ai run --matrix lr=0.1,0.01 --matrix depth=2,3 --max-parallel 2", after: latestMatrix("m5qd2x")},
	{line: "kubectl ai runs compare m5qd2x -o json | jq -r .best"},
	{line: "kubectl ai runs delete b4n9ws m5qd2x --yes"},
	{line: "kubectl ai dashboard samples/digits", says: "until Ctrl-C", types: ctrlC, exit: 130},
	{line: "kubectl ai dashboard --open", says: "opened http://127.0.0.1:", types: ctrlC, exit: 130, before: func(u *user) {
		u.script("xdg-open", `echo opened "$1" >/dev/tty`)
	}},
	{line: "kubectl ai dashboard --port 3100 -o json", says: "until Ctrl-C", types: ctrlC, exit: 130},
}}

// latest says what a run's ID in the examples is here: that of the newest run.
func latest(word string) func(*user, string) {
	return func(u *user, _ string) { u.means(word, u.sh("kubectl ai runs list -o json | jq -r '.items[-1].id'")) }
}

func latestMatrix(word string) func(*user, string) {
	return func(u *user, _ string) {
		u.means(word, u.sh("kubectl ai runs list -o json | jq -r '.items[-1].matrix'"))
	}
}
