// Panics: goroutines share maps without a lock, and many of their operations panic halfway and are
// recovered from: keys that cannot be hashed, assignments to a nil map. Such an operation never
// returns; whoever waits for its end must not wait for long.
//
//gocc:go 1.18 1.27
//gocc:expect survives
//gocc:expect conflict assign/assign assign/read assign/delete read/delete delete/delete
//gocc:variants static stripped
package main

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	workers = 8
	rounds  = 9000
)

var (
	entries  = map[any]int{}
	missing  map[int]int
	panicked int64
)

// attempt runs an operation that may panic.
func attempt(operation func()) {
	defer func() {
		if recover() != nil {
			atomic.AddInt64(&panicked, 1)
		}
	}()
	operation()
}

//go:noinline
func assign(key any, value int) {
	entries[key] = value //gocc:side assign
}

//go:noinline
func read(key any) int {
	return entries[key] //gocc:side read
}

//go:noinline
func remove(key any) {
	delete(entries, key) //gocc:side delete
}

func work(id int) {
	bad := any([]int{id})
	for i := 0; i < rounds; i++ {
		key := any((i + id) % 40)
		assign(key, i)
		read(key)
		if i%3 == 0 {
			remove(key)
		}
		if i%15 == 0 {
			attempt(func() { assign(bad, i) })
			attempt(func() { read(bad) })
			attempt(func() { remove(bad) })
			attempt(func() { missing[i] = i })
			runtime.Gosched()
		}
	}
}

func main() {
	// Never empty: a read of an empty map need not hash its key.
	entries["always"] = 1
	var done sync.WaitGroup
	for id := 0; id < workers; id++ {
		done.Add(1)
		go func(id int) {
			defer done.Done()
			work(id)
		}(id)
	}
	done.Wait()
	if panicked != workers*rounds/15*4 {
		os.Exit(1)
	}
	os.Stdout.WriteString("survived\n")
}
