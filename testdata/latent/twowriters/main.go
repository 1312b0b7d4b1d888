// Twowriters: a metrics registry that two components register with, each once, some 50 microseconds
// apart. Nobody thought of a lock, since "it only happens at start".
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

type counter struct{ value int64 }

// Nobody touches it but the two goroutines, and it is large enough never to grow.
var registry = make(map[string]*counter, 64)

//go:noinline
func registerStorage() {
	registry["storage.bytes"] = &counter{} //gocc:side assign
}

//go:noinline
func registerNetwork() {
	registry["network.bytes"] = &counter{} //gocc:side assign
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
	// Late enough for both goroutines to have a thread by then.
	start := time.Now().Add(2 * time.Millisecond)
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		busy(start, 0)
		registerStorage()
	}()
	go func() {
		defer done.Done()
		busy(start, 20*time.Microsecond)
		registerNetwork()
	}()
	done.Wait()
	os.Stdout.WriteString("done\n")
}
