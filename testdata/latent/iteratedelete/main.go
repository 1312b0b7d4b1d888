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

// at computes until a moment, without any synchronisation.
func at(moment time.Time) {
	for time.Now().Before(moment) {
	}
}

func main() {
	h := &hub{subscribers: map[string]int{}}
	for i := 0; i < 30; i++ {
		h.subscribers["client-"+strconv.Itoa(i)] = 1
	}
	// Late enough for both goroutines to have a thread by then.
	start := time.Now()
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		at(start.Add(300 * time.Microsecond))
		h.broadcast()
	}()
	go func() {
		defer done.Done()
		at(start.Add(400 * time.Microsecond))
		h.unsubscribe("client-12")
	}()
	done.Wait()
	if h.sent < 29 {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
