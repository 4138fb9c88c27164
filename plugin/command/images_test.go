package command

import (
	"testing"
	"testing/fstest"

	"github.com/kubectl-ai/kubectl-ai/plugin/programimage"
)

func TestAnAgentOfAnotherBuildIsKnownByItsDigest(t *testing.T) {
	t.Parallel()
	payload := func(content string) fstest.MapFS {
		return fstest.MapFS{"linux-amd64/ai-agent": {Data: []byte(content)}, "linux-arm64/ai-agent": {Data: []byte(content)}}
	}
	index, err := programimage.Agent.Index(payload("this"))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	pinned := "registry.example/agent@" + digest.String()
	for _, c := range []struct {
		name string
		i    pulledImages
		want bool
	}{
		{"this build's", pulledImages{agent: pinned, payload: payload("this")}, false},
		{"another build's", pulledImages{agent: pinned, payload: payload("another")}, true},
		{"a tag can be any", pulledImages{agent: "registry.example/agent:v1", payload: payload("another")}, false},
		{"a build without an agent has nothing to compare", pulledImages{agent: pinned}, false},
	} {
		if got := c.i.isOfAnotherBuild(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
