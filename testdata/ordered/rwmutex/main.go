// Rwmutex: many readers look up and range at the same time, which is right; a writer has the map alone.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static stripped race
package main

import (
	"os"
	"runtime"
	"strconv"
	"sync"
)

const (
	readers = 6
	rounds  = 400
)

type table struct {
	mu      sync.RWMutex
	entries map[string]int
}

func (t *table) get(name string) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.entries[name]
}

func (t *table) count() (n int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for range t.entries {
		n++
	}
	return n
}

func (t *table) put(name string, value int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries[name] = value
}

func (t *table) drop(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.entries, name)
}

func read(t *table, names []string) {
	for i := 0; i < rounds; i++ {
		if t.get("root") != 1 || i%50 == 0 && t.count() < 1 {
			os.Exit(1)
		}
		t.get(names[i%len(names)])
	}
}

func write(t *table, names []string) {
	for i := 0; i < rounds; i++ {
		t.put(names[i%len(names)], i)
		if i%3 == 0 {
			t.drop(names[(i+1)%len(names)])
		}
		if i%16 == 0 {
			runtime.Gosched()
		}
	}
}

func main() {
	t := &table{entries: map[string]int{"root": 1}}
	names := make([]string, 40)
	for i := range names {
		names[i] = "name-" + strconv.Itoa(i)
	}
	var done sync.WaitGroup
	done.Add(readers + 1)
	for i := 0; i < readers; i++ {
		go func() {
			defer done.Done()
			read(t, names)
		}()
	}
	go func() {
		defer done.Done()
		write(t, names)
	}()
	done.Wait()
	os.Stdout.WriteString("done\n")
}
