package release

import "time"

// Evidence is what a release is founded on: where its code ran before, in
// which ranks and images, and what brings it to production. Its JSON form is
// stable.
type Evidence struct {
	// Unproven is why nothing proves that this code ran, for a release that
	// was made all the same (--unproven); else "".
	Unproven string `json:"unproven,omitempty"`
	// Sandbox is the context of the cluster in which the code ran.
	Sandbox    string `json:"sandbox,omitempty"`
	Generation uint64 `json:"generation,omitempty"`
	// Run is the ID of a run that ended well, where no generation proves the
	// code.
	Run string    `json:"run,omitempty"`
	Ran time.Time `json:"ran,omitzero"` // when all ranks ran it, or the run ended
	// Ranks is how many ranks the run had, or gave receipts; Receipts has the
	// first MaxReceipts of these.
	Ranks    int       `json:"ranks,omitempty"`
	Receipts []Receipt `json:"receipts,omitempty"`
	// Runtimes compares, per container of the bundle, what it runs in
	// production with what it ran in.
	Runtimes []Runtime `json:"runtimes,omitempty"`
	Carrier  Carrier   `json:"carrier"`
}

// MaxReceipts bounds the receipts of an Evidence: the record of a release
// shares a Secret with its manifests.
const MaxReceipts = 128

// Receipt is what a rank proved. TreeDigest and pod are the rank's own word.
type Receipt struct {
	Rank       int    `json:"rank"` // -1: the pod carries no number
	Pod        string `json:"pod"`
	PodUID     string `json:"podUID"`
	Container  string `json:"container"`
	TreeDigest string `json:"treeDigest"`
	ArgvDigest string `json:"argvDigest"`
	// StartedDigest is the tree that the process was started in, where a
	// policy of the project had it run on when TreeDigest came.
	StartedDigest string    `json:"startedDigest,omitempty"`
	Running       time.Time `json:"running"` // since when the process runs, by the pod's clock
}

// Runtime is a container's image without the code, here and there.
type Runtime struct {
	Target string `json:"target"` // Kind/name/container
	// Image and Digest are the runtime image of the release; Digest is ""
	// where nobody could say.
	Image  string `json:"image"`
	Digest string `json:"digest,omitempty"`
	// Ran and RanDigest are what the ranks ran in.
	Ran       string `json:"ran,omitempty"`
	RanDigest string `json:"ranDigest,omitempty"`
	Same      bool   `json:"same"`
	// Python and the like, from the variables of the image that name versions.
	Versions map[string]string `json:"versions,omitempty"`
}

// Carrier says how the code got there.
type Carrier struct {
	Format string `json:"format"` // layer, imageVolume or configMap
	// Objects are what hold the code: references of images by digest, or
	// names of ConfigMaps.
	Objects []string `json:"objects"`
	// Statements are what was said of them when the release was made.
	Statements []Statement `json:"statements,omitempty"`
}

// Statement is what is said of an object that holds the code: how it was made,
// or what is in it.
type Statement struct {
	Of     string `json:"of"`   // the object
	Type   string `json:"type"` // application/vnd.in-toto+json or application/vnd.cyclonedx+json
	Digest string `json:"digest"`
	// KeyID is the digest of the key that signed it, of its
	// SubjectPublicKeyInfo; "": none did.
	KeyID string `json:"keyID,omitempty"`
}
