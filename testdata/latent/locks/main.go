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

// busy waits for a moment and then computes for a while, without any synchronisation. What a thread
// stands still does not count, so that two of them that go on at the same moment stay apart.
func busy(from time.Time, d time.Duration) {
	for time.Now().Before(from) {
	}
	for last := time.Now(); d > 0; {
		now := time.Now()
		step := now.Sub(last)
		if step > time.Microsecond {
			step = time.Microsecond
		}
		last, d = now, d-step
	}
}

func main() {
	// Nobody touches the map but the two goroutines, and it is large enough never to grow.
	index := make(map[string]string, 64)
	left := &shard{own: map[string]int{}, index: index}
	right := &shard{own: map[string]int{}, index: index}
	// Late enough for both goroutines to have a thread by then.
	start := time.Now().Add(2 * time.Millisecond)
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		busy(start, 0)
		left.put("apple", 1)
	}()
	go func() {
		defer done.Done()
		busy(start, 200*time.Microsecond)
		right.put("zebra", 2)
	}()
	done.Wait()
	if len(left.own) != 1 || len(right.own) != 1 {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
