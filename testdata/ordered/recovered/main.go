// Recovered: goroutines use a map under a lock, and now and then an operation panics halfway: an
// assignment to a nil map, a key that cannot be hashed. They recover, let go of the lock, and others
// use the same map. An operation that ended so is over.
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
	workers = 4
	rounds  = 250
)

type table struct {
	mu      sync.Mutex
	entries map[any]int
	missing map[int]int
}

// try says whether an operation panicked.
func (t *table) try(operation func()) (panicked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { panicked = recover() != nil }()
	operation()
	return false
}

func work(t *table, id int) {
	bad := any([]int{id})
	for i := 0; i < rounds; i++ {
		key := any(i % 20)
		good := t.try(func() { t.entries[key] = i })
		read := t.try(func() { _ = t.entries[key] })
		if good || read {
			os.Exit(1)
		}
		if i%5 != 0 {
			continue
		}
		assigned := t.try(func() { t.entries[bad] = i })
		looked := t.try(func() { _ = t.entries[bad] })
		deleted := t.try(func() { delete(t.entries, bad) })
		none := t.try(func() { t.missing[i] = i })
		if !assigned || !looked || !deleted || !none {
			os.Exit(1)
		}
	}
}

func main() {
	t := &table{entries: map[any]int{"first": 1}}
	var done sync.WaitGroup
	for id := 0; id < workers; id++ {
		done.Add(1)
		go func(id int) {
			defer done.Done()
			work(t, id)
		}(id)
	}
	done.Wait()
	os.Stdout.WriteString("done\n")
}
