// Locks: two shards, each with a lock of its own, keep one index together, and each takes care to hold
// its lock, which is the wrong one: the other shard holds another. Some 200 microseconds lie between.
//
//gocc:go 1.18 1.27
//gocc:expect latent assign/assign
//gocc:variants static stripped race
package main

import (
	"os"
	"sync"
	"time"
)

type shard struct {
	mu    sync.Mutex
	own   map[string]int
	index map[string]string // every shard's keys; shared
}

//go:noinline
func (s *shard) put(key string, value int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own[key] = value
	s.index[key] = "present" //gocc:side assign
}

// at computes until a moment, without any synchronisation.
func at(moment time.Time) {
	for time.Now().Before(moment) {
	}
}

func main() {
	index := map[string]string{"root": "present"}
	left := &shard{own: map[string]int{}, index: index}
	right := &shard{own: map[string]int{}, index: index}
	// Late enough for both goroutines to have a thread by then.
	start := time.Now()
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		at(start.Add(300 * time.Microsecond))
		left.put("apple", 1)
	}()
	go func() {
		defer done.Done()
		at(start.Add(500 * time.Microsecond))
		right.put("zebra", 2)
	}()
	done.Wait()
	if len(left.own) != 1 || len(right.own) != 1 {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
