// Twowriters: a metrics registry that two components register with, each once, some 20 microseconds
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

var registry = map[string]*counter{}

//go:noinline
func registerStorage() {
	registry["storage.bytes"] = &counter{} //gocc:side assign
}

//go:noinline
func registerNetwork() {
	registry["network.bytes"] = &counter{} //gocc:side assign
}

// at computes until a moment, without any synchronisation.
func at(moment time.Time) {
	for time.Now().Before(moment) {
	}
}

func main() {
	registry["process.start"] = &counter{}
	// Late enough for both goroutines to have a thread by then.
	start := time.Now()
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		at(start.Add(300 * time.Microsecond))
		registerStorage()
	}()
	go func() {
		defer done.Done()
		at(start.Add(320 * time.Microsecond))
		registerNetwork()
	}()
	done.Wait()
	if len(registry) < 2 {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
