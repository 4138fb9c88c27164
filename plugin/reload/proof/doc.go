// Package proof holds the proofs of the reload engine as tests: both ends in
// one process, real volumes, real processes, a real watcher, no cluster. Each
// runs a sample by default and its full size with KUBECTL_AI_SOAK=1, with the
// same assertions. None measures time.
//
//   - random_test.go: whatever is done to a folder, pods end up with it.
//   - reader_test.go: nobody sees a tree that was never published.
//   - append_test.go: what programs do to their own code does not spread.
//   - cut_test.go, stall_test.go: a stream may end or fall silent anywhere.
//   - chaos_test.go, full_test.go: agents, pods, clients and volumes fail.
//   - ranks_test.go: ranks never compute a step with different code.
//   - history_test.go: a repository's history, commit by commit.
//   - input_test.go, raw_test.go: what cannot be delivered is refused.
package proof
