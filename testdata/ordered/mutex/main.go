// Mutex: four goroutines assign to, read, delete from and range over one map, under one lock.
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
	rounds  = 500
)

type table struct {
	mu      sync.Mutex
	entries map[int]int
}

func (t *table) put(k, v int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries[k] = v
}

func (t *table) get(k int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entries[k]
}

func (t *table) drop(k int) {
	t.mu.Lock()
	delete(t.entries, k)
	t.mu.Unlock()
}

func (t *table) sum() (sum int) {
	t.mu.Lock()
	for _, v := range t.entries {
		sum += v
	}
	t.mu.Unlock()
	return sum
}

func work(t *table, id int) {
	for i := 0; i < rounds; i++ {
		k := id*rounds + i
		t.put(k, 1)
		if t.get(k) != 1 {
			os.Exit(1)
		}
		if i%100 == 0 && t.sum() < 1 {
			os.Exit(1)
		}
		if i%2 == 0 {
			t.drop(k)
		}
	}
}

func main() {
	t := &table{entries: map[int]int{}}
	var done sync.WaitGroup
	for id := 0; id < workers; id++ {
		done.Add(1)
		go func(id int) {
			defer done.Done()
			work(t, id)
		}(id)
	}
	done.Wait()
	if t.sum() != workers*rounds/2 {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
