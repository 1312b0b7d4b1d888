// Copyonwrite: readers load a map from an atomic value and look at it without a lock; writers make a
// copy, change that, and publish it. No map is changed once it can be seen.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static stripped race
package main

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	writers = 2
	readers = 4
	changes = 60
	looks   = 300
)

type table struct {
	mu      sync.Mutex // writers only
	current atomic.Value
}

func (t *table) load() map[int]int { return t.current.Load().(map[int]int) }

func (t *table) put(k, v int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh := map[int]int{}
	for k, v := range t.load() {
		fresh[k] = v
	}
	fresh[k] = v
	t.current.Store(fresh)
}

func read(t *table) {
	for i := 0; i < looks; i++ {
		m := t.load()
		if m[0] != 0 {
			os.Exit(1)
		}
		if i%20 == 0 {
			for k, v := range m {
				if k != v {
					os.Exit(1)
				}
			}
			runtime.Gosched()
		}
	}
}

func main() {
	t := &table{}
	t.current.Store(map[int]int{0: 0})
	var done sync.WaitGroup
	done.Add(writers + readers)
	for w := 0; w < writers; w++ {
		go func(w int) {
			defer done.Done()
			for i := 1; i <= changes; i++ {
				t.put(i%20+w*20, i%20+w*20)
			}
		}(w)
	}
	for r := 0; r < readers; r++ {
		go func() {
			defer done.Done()
			read(t)
		}()
	}
	done.Wait()
	os.Stdout.WriteString("done\n")
}
