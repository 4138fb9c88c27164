package apply

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/disk"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/homedir"
)

// discoveryAge is for how long kubectl believes what a server said it serves.
// A kind that is not in the cache makes the client ask before.
const discoveryAge = 6 * time.Hour

// discover returns a discovery client on kubectl's own cache: the same
// folders, so that what one of the two asked the other need not ask again.
// Who has no home folder has no cache.
func discover(config *rest.Config) (discovery.CachedDiscoveryInterface, error) {
	folder := os.Getenv("KUBECACHEDIR")
	if folder == "" {
		home := homedir.HomeDir()
		if home == "" {
			client, err := discovery.NewDiscoveryClientForConfig(config)
			if err != nil {
				return nil, err
			}
			return memory.NewMemCacheClient(client), nil
		}
		folder = filepath.Join(home, ".kube", "cache")
	}
	return disk.NewCachedDiscoveryClientForConfig(config,
		filepath.Join(folder, "discovery", serverFolder(config.Host)), filepath.Join(folder, "http"), discoveryAge)
}

var unsafeInPath = regexp.MustCompile(`[^(\w/.)]`)

// serverFolder is the name that kubectl gives a server's folder (cli-runtime,
// genericclioptions.computeDiscoverCacheDir, which is not exported).
func serverFolder(host string) string {
	host = strings.TrimPrefix(strings.TrimPrefix(host, "https://"), "http://")
	return unsafeInPath.ReplaceAllString(host, "_")
}
