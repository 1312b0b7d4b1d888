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

// at computes until a moment, without any synchronisation.
func at(moment time.Time) {
	for time.Now().Before(moment) {
	}
}

func main() {
	for _, name := range []string{"width", "height", "depth", "weight"} {
		settings[name] = 1
	}
	// Late enough for both goroutines to have a thread by then.
	start := time.Now()
	var done sync.WaitGroup
	var taken map[string]int
	done.Add(2)
	go func() {
		defer done.Done()
		at(start.Add(300 * time.Microsecond))
		change("depth", 2)
	}()
	go func() {
		defer done.Done()
		at(start.Add(450 * time.Microsecond))
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
