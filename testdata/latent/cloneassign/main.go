// Cloneassign: a snapshot of the settings is taken with maps.Clone, while another goroutine changes
// one of them, 150 microseconds earlier.
//
//gocc:go 1.21 1.27
//gocc:expect latent clone/assign
//gocc:variants static stripped race
package main

import (
	"maps"
	"os"
	"sync"
	"time"
)

var settings = map[string]int{}

//go:noinline
func snapshot() map[string]int {
	return maps.Clone(settings) //gocc:side clone
}

//go:noinline
func change(name string, value int) {
	settings[name] = value //gocc:side assign
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
	for _, name := range []string{"width", "height", "depth", "weight"} {
		settings[name] = 1
	}
	// Late enough for both goroutines to have a thread by then.
	start := time.Now().Add(2 * time.Millisecond)
	var done sync.WaitGroup
	var taken map[string]int
	done.Add(2)
	go func() {
		defer done.Done()
		busy(start, 0)
		change("depth", 2)
	}()
	go func() {
		defer done.Done()
		busy(start, 150*time.Microsecond)
		if visible(settings) == 4 {
			taken = snapshot()
		}
	}()
	done.Wait()
	if len(taken) != 4 {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
