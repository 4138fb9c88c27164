package wire

import (
	"fmt"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Versions of the protocol that this code speaks.
const (
	MinVersion = 1
	MaxVersion = 1
)

// Type is a message's first byte.
type Type byte

// The types.
const (
	TypeHello Type = iota + 1
	TypeWelcome
	TypePrepare
	TypeStaged
	TypeNeed
	TypeRefused
	TypeCommit
	TypeStopped
	TypeStart
	TypeRunning
	TypeExited
	TypeVerify
	TypeVerified
	TypePing
	TypePong
	TypeDetach
)

var typeNames = [...]string{"", "HELLO", "WELCOME", "PREPARE", "STAGED", "NEED", "REFUSED", "COMMIT", "STOPPED", "START", "RUNNING", "EXITED", "VERIFY", "VERIFIED", "PING", "PONG", "DETACH"}

func (t Type) String() string {
	if int(t) < len(typeNames) && t > 0 {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", byte(t))
}

// Message is one of the structs of this package.
type Message interface {
	Type() Type
	encode(*encoder)
	decode(*decoder)
}

func newMessage(t Type) Message {
	switch t {
	case TypeHello:
		return new(Hello)
	case TypeWelcome:
		return new(Welcome)
	case TypePrepare:
		return new(Prepare)
	case TypeStaged:
		return new(Staged)
	case TypeNeed:
		return new(Need)
	case TypeRefused:
		return new(Refused)
	case TypeCommit:
		return new(Commit)
	case TypeStopped:
		return new(Stopped)
	case TypeStart:
		return new(Start)
	case TypeRunning:
		return new(Running)
	case TypeExited:
		return new(Exited)
	case TypeVerify:
		return new(Verify)
	case TypeVerified:
		return new(Verified)
	case TypePing:
		return new(Ping)
	case TypePong:
		return new(Pong)
	case TypeDetach:
		return new(Detach)
	}
	return nil
}

// Role is what a client wants to do.
type Role byte

// Roles.
const (
	Owner    Role = 1 // publishes; one at a time
	Observer Role = 2 // asks and verifies; any number
)

// Hello opens the laptop's side.
type Hello struct {
	Min, Max uint64 // versions spoken
	Role     Role
	Session  string // random; the same one after a reconnect
	Owner    string // for people: who holds the rank
}

// State is what an agent's process does.
type State byte

// States.
const (
	Waiting State = 1 // no process: the first generation has not come
	Started State = 2 // the process runs
	Ended   State = 3 // the process has ended; the next save starts another
	Held    State = 4 // stopped between COMMIT and START
)

func (s State) String() string {
	switch s {
	case Waiting:
		return "waiting"
	case Started:
		return "running"
	case Ended:
		return "exited"
	case Held:
		return "held"
	}
	return fmt.Sprintf("State(%d)", byte(s))
}

// Welcome answers Hello: what the pod holds.
type Welcome struct {
	Version    uint64 // that both sides speak from now on
	Boot       string // random for each start of the agent
	Pod        string
	PodUID     string
	Container  string
	Node       string
	Rank       int // -1: the pod does not know
	State      State
	Generation uint64        // committed; 0: none
	Digest     tree.Digest   // of the committed generation
	Highest    uint64        // generation number ever prepared
	Kept       []tree.Digest // trees that PREPARE may build on, the newest first
	Receipt    *Receipt      // of the process that runs or ran last
	Exit       *Exited       // of the process, when State is Ended
}

// Prepare carries the difference between a tree that the pod holds and the
// next generation, in one or more frames with the same Generation, Base and
// Root. Deletes and puts of all frames add up.
type Prepare struct {
	Generation uint64
	Base       tree.Digest // zero: the empty tree
	Root       tree.Digest // of the result
	More       bool        // another frame of the same generation follows
	Deletes    []string
	Puts       []Put
}

// Put is a file or link of the next generation, or a part of one.
type Put struct {
	Path   string
	Kind   tree.Kind
	Size   int64
	Sum    [32]byte
	Target string   // of a link
	Have   bool     // no content here: the pod may hold it, by Sum
	Base   [32]byte // content that parts refer to; zero: none do
	Offset int64    // where in the file Parts begin; the rest is in other frames
	Parts  []Part
}

// Op is how a part gives its bytes.
type Op byte

// Ops.
const (
	Raw  Op = 1 // Data is the bytes
	Zstd Op = 2 // Data is a zstd frame
	Copy Op = 3 // the bytes are Base[Offset:Offset+Size]
	Dict Op = 4 // Data is a zstd frame, Base[Offset:Offset+Extent] its dictionary
)

// MaxPart is the most bytes that a part other than Copy may unfold to, and
// the largest dictionary.
const MaxPart = 1 << 20

// Part is a run of a file's bytes.
type Part struct {
	Op     Op
	Size   int64 // bytes that it unfolds to
	Offset int64 // in Base, for Copy and Dict
	Extent int64 // in Base, for Dict
	Data   []byte
}

// Staged says that a generation is complete on disk and has this digest.
type Staged struct {
	Generation uint64
	Digest     tree.Digest
	At         time.Time
}

// Need asks for contents, by sum, before the generation can be staged; the
// laptop sends them in further PREPARE frames. Without sums the base is
// missing, and the laptop begins again from the empty tree.
type Need struct {
	Generation uint64
	Sums       [][32]byte
}

// Policy is what COMMIT does to the process.
type Policy byte

// Policies.
const (
	Restart Policy = 1 // stop the process, start the next
	Hold    Policy = 2 // stop the process, answer STOPPED, wait for START
)

// Commit makes a staged generation the one that runs.
type Commit struct {
	Generation uint64
	Run        string // the same text on all ranks, for KUBECTL_AI_RUN
	Policy     Policy
	// Pipelined: sent before STAGED was seen; silently dropped when the
	// generation could not be staged.
	Pipelined bool
}

// Stopped says that the old process is gone and the new tree is in place.
type Stopped struct{ Generation uint64 }

// Start ends a hold.
type Start struct{ Generation uint64 }

// Running says that the generation's process runs.
type Running struct{ Receipt Receipt }

// Exited says that the process has ended, or could not be started.
type Exited struct {
	Generation uint64
	PID        int
	Code       int    // exit code; -1 when a signal ended it or it never ran
	Signal     string // such as SIGKILL
	Error      string // why it could not be started
	At         time.Time
}

// Verify asks for a digest computed from the files on disk.
type Verify struct{ Token uint64 }

// Verified answers Verify.
type Verified struct {
	Token       uint64
	Generation  uint64
	Want        tree.Digest // as it was staged
	Digest      tree.Digest // as it is on disk
	Total       int         // paths that differ; Differences may be shorter
	Differences []Difference
}

// Difference is a path whose state on disk is not what was staged.
type Difference struct {
	Path string `json:"path"`
	What string `json:"what"` // missing, content, mode, kind, target
}

// MaxDifferences bounds the list in Verified.
const MaxDifferences = 1000

// Ping asks for Pong with the same token; either side sends it.
type Ping struct{ Token uint64 }

// Pong answers Ping.
type Pong struct{ Token uint64 }

// Detach says that the laptop leaves on purpose: the rank is free for another.
type Detach struct{}
