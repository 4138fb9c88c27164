package explain

import (
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/child"
)

var nodeimageEntries = []Entry{
	{
		ID: "IMG-001", Exit: ExitPrecondition, Match: As[*child.MissingError](),
		Next: From(func(e *child.MissingError) string {
			var lines []string
			seen := map[string]bool{}
			for _, n := range e.Needs {
				if !seen[n.Install] {
					lines = append(lines, n.Install)
				}
				seen[n.Install] = true
			}
			return strings.Join(lines, "\n")
		}),
		Long: `Building an image from source needs a few programs, which the message lists with what
each is for: go and gcc with libseccomp's static library to compile, debootstrap and root for
the Debian part. Nothing was done yet. What a build has made stays in its cache, so the parts
that are there need nothing.`,
	},
	{
		ID: "IMG-002", Exit: ExitPrecondition, Match: Is(nodeimage.ErrArch),
		Next: Text("build the image on a machine of the engine's architecture, then: docker save there, docker load here"),
		Long: "Programs of a node image are compiled, and some of them run, on this machine; the container engine runs another architecture.",
	},
	{
		ID: "IMG-003", Exit: ExitFailed, Match: As[*child.Error](),
		Cause: From(func(e *child.Error) string { return strings.Join(e.Lines, "\n") }),
		Next:  Text("repeat the command: what was made stays in the cache, and downloads that broke off start again"),
		Long: `A program that builds an image failed; the cause shows its last lines. Compiling reads from
the Go module proxy that GOPROXY names, and debootstrap from the Debian mirror that --mirror
names; both must be reachable the first time.`,
	},
}
