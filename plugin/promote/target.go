package promote

import (
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// SameServer says whether two API servers have one address, whatever way it
// is written.
func SameServer(a, b string) bool { return address(a) == address(b) }

func address(server string) string {
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return server
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80"}[u.Scheme]
		if port == "" {
			port = "443"
		}
	}
	host := strings.ToLower(u.Hostname())
	if host == "localhost" {
		host = "127.0.0.1"
	}
	return host + ":" + port + strings.TrimRight(u.Path, "/")
}

// Architectures returns the architectures of nodes, each once, sorted.
func Architectures(nodes []unstructured.Unstructured) []string {
	var out []string
	for i := range nodes {
		arch, _, _ := unstructured.NestedString(nodes[i].Object, "status", "nodeInfo", "architecture")
		if arch != "" && !slices.Contains(out, arch) {
			out = append(out, arch)
		}
	}
	slices.Sort(out)
	return out
}
