package logs

import (
	"container/heap"
	"context"
	"errors"
	"sync"
)

// source delivers lines of one container in their order.
type source func(ctx context.Context, deliver func(Line)) error

// merge delivers the lines of all sources in the order of time; those of one
// source stay in theirs. Every source is read ahead a little, and no further:
// a log need not fit into memory. The error joins those of the sources whose
// lines are not all there.
func merge(ctx context.Context, sources []source, deliver func(Line) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	errs := make([]error, len(sources))
	all := make([]chan Line, len(sources))
	for i, s := range sources {
		lines := make(chan Line, 64)
		all[i] = lines
		reading.Go(func() {
			defer close(lines)
			errs[i] = s(ctx, func(l Line) {
				select {
				case lines <- l:
				case <-ctx.Done():
				}
			})
		})
	}
	var first heads
	for i, lines := range all {
		if l, ok := <-lines; ok {
			first = append(first, head{l, lines, i})
		}
	}
	heap.Init(&first)
	for len(first) > 0 {
		if err := deliver(first[0].line); err != nil {
			return err
		}
		l, ok := <-first[0].from
		if !ok {
			heap.Pop(&first)
			continue
		}
		first[0].line = l
		heap.Fix(&first, 0)
	}
	reading.Wait()
	return errors.Join(append(errs, context.Cause(ctx))...)
}

// head is the next line of a source.
type head struct {
	line   Line
	from   <-chan Line
	number int // of the source
}

// heads is a heap: the earliest line first, then that of the first source.
type heads []head

func (h heads) Len() int { return len(h) }
func (h heads) Less(i, j int) bool {
	if !h[i].line.Time.Equal(h[j].line.Time) {
		return h[i].line.Time.Before(h[j].line.Time)
	}
	return h[i].number < h[j].number
}
func (h heads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)   { *h = append(*h, x.(head)) }
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
