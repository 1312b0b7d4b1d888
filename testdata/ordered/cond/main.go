// Cond: a box of work in a map; producers put in, consumers wait on a sync.Cond and take out.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static stripped race
package main

import (
	"os"
	"sync"
)

const (
	producers = 3
	consumers = 3
	jobs      = 300 // of each producer
)

type box struct {
	mu      sync.Mutex
	filled  *sync.Cond
	pending map[int]string
	taken   int
}

func (b *box) put(id int) {
	b.mu.Lock()
	b.pending[id] = "job"
	b.mu.Unlock()
	b.filled.Signal()
}

// take is false when all work is done.
func (b *box) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.pending) == 0 {
		if b.taken == producers*jobs {
			return false
		}
		b.filled.Wait()
	}
	for id := range b.pending {
		delete(b.pending, id)
		break
	}
	b.taken++
	if b.taken == producers*jobs {
		b.filled.Broadcast()
	}
	return true
}

func main() {
	b := &box{pending: map[int]string{}}
	b.filled = sync.NewCond(&b.mu)
	var done sync.WaitGroup
	done.Add(producers + consumers)
	for p := 0; p < producers; p++ {
		go func(p int) {
			defer done.Done()
			for i := 0; i < jobs; i++ {
				b.put(p*jobs + i)
			}
		}(p)
	}
	for c := 0; c < consumers; c++ {
		go func() {
			defer done.Done()
			for b.take() {
			}
		}()
	}
	done.Wait()
	if len(b.pending) != 0 {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
