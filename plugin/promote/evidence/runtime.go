package evidence

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
)

// Image is the runtime image that a container of production gets.
type Image struct {
	Target    string // Kind/name/container
	Container string
	Ref       string // as the bundle names it
	// Digests are all that identify it: of its index, of its manifests and of
	// their configurations; none where nobody could say.
	Digests  []string
	Versions map[string]string // PYTHON_VERSION and the like
}

// RuntimeError says that production would run the code in another image than
// the sandbox did, or that nobody can tell.
type RuntimeError struct{ Differences []release.Runtime }

func (e *RuntimeError) Error() string {
	var lines []string
	for _, d := range e.Differences {
		switch {
		case d.Ran == "":
			lines = append(lines, fmt.Sprintf("%s: no receipt says which image the code ran in", d.Target))
		case d.Digest == "":
			lines = append(lines, fmt.Sprintf("%s: %s is neither in its registry nor on this machine, so nobody can tell whether the code ran in it", d.Target, d.Image))
		default:
			lines = append(lines, fmt.Sprintf("%s: the code ran in %s (%s), production has %s (%s)%s", d.Target, d.Ran, short(d.RanDigest), d.Image, short(d.Digest), versions(d.Versions)))
		}
	}
	return "the code did not run in the runtime image that production has:\n" + strings.Join(lines, "\n")
}

func versions(v map[string]string) string {
	if len(v) == 0 {
		return ""
	}
	var words []string
	for name, version := range v {
		words = append(words, name+" "+version)
	}
	slices.Sort(words)
	return ", which says " + strings.Join(words, ", ")
}

func short(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }

// Compare compares the images that production gives to containers with those
// that a generation ran in. The comparison comes with a *RuntimeError when one
// is not the same.
func Compare(g journal.Generation, images []Image) ([]release.Runtime, error) {
	var all []release.Runtime
	failed := &RuntimeError{}
	for _, image := range images {
		r := release.Runtime{Target: image.Target, Image: image.Ref, Versions: image.Versions}
		if len(image.Digests) > 0 {
			r.Digest = image.Digests[0]
		}
		ran := candidates(g.Runtimes, image.Container)
		r.Same = len(ran) > 0
		for _, one := range ran { // ranks may differ: then the first that is another
			if r.Same {
				r.Ran, r.RanDigest = one.Image, digestOf(one)
				r.Same = slices.Contains(image.Digests, r.RanDigest) || slices.Contains(image.Digests, bare(one.ID))
			}
		}
		all = append(all, r)
		if !r.Same {
			failed.Differences = append(failed.Differences, r)
		}
	}
	if len(failed.Differences) > 0 {
		return all, failed
	}
	return all, nil
}

// candidates are what containers of that name ran in, or any where the name is
// another one in production.
func candidates(ran []journal.Runtime, container string) []journal.Runtime {
	var named []journal.Runtime
	for _, r := range ran {
		if r.Container == container {
			named = append(named, r)
		}
	}
	if len(named) == 0 {
		return ran
	}
	return named
}

// digestOf is what identifies an image that ran: the digest of its
// configuration where the node told it, else the one that the node names.
func digestOf(r journal.Runtime) string {
	if r.Config != "" {
		return r.Config
	}
	return bare(r.ID)
}

// bare is the digest in a node's name for an image, such as
// docker.io/library/python@sha256:….
func bare(imageID string) string {
	if i := strings.LastIndex(imageID, "sha256:"); i >= 0 {
		return imageID[i:]
	}
	return imageID
}
