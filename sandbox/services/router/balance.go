package router

import "sync"

// balancer gives turns to backends by their weights: smooth weighted
// round-robin, as nginx has it. Of any run of turns as long as the weights'
// sum every backend gets exactly its weight, and the turns of one are spread.
type balancer struct {
	mu      sync.Mutex
	weights []int64
	current []int64
	total   int64
}

func newBalancer(weights []int64) *balancer {
	b := &balancer{weights: weights, current: make([]int64, len(weights))}
	for _, w := range weights {
		b.total += w
	}
	return b
}

// next returns whose turn it is, -1 when all weights are 0.
func (b *balancer) next() int {
	if b.total == 0 {
		return -1
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	best := -1
	for i, w := range b.weights {
		b.current[i] += w
		if w > 0 && (best < 0 || b.current[i] > b.current[best]) {
			best = i
		}
	}
	b.current[best] -= b.total
	return best
}
