// Iteratedelete: a broadcast ranges over the subscribers while one of them, 100 microseconds later,
// takes itself out.
//
//gocc:go 1.18 1.27
//gocc:expect latent iterate/delete
//gocc:variants static stripped race
package main

import (
	"os"
	"strconv"
	"sync"
	"time"
)

type hub struct {
	subscribers map[string]int
	sent        int
}

//go:noinline
func (h *hub) broadcast() {
	for _, weight := range h.subscribers { //gocc:side iterate
		h.sent += weight
	}
}

//go:noinline
func (h *hub) unsubscribe(name string) {
	delete(h.subscribers, name) //gocc:side delete
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
	h := &hub{subscribers: map[string]int{}}
	for i := 0; i < 30; i++ {
		h.subscribers["client-"+strconv.Itoa(i)] = 1
	}
	// Late enough for both goroutines to have a thread by then.
	start := time.Now().Add(2 * time.Millisecond)
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		busy(start, 0)
		h.broadcast()
	}()
	go func() {
		defer done.Done()
		busy(start, 100*time.Microsecond)
		h.unsubscribe("client-12")
	}()
	done.Wait()
	if h.sent < 29 {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
