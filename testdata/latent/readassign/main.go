// Readassign: a configuration that one goroutine reloads while another looks a key up, 100
// microseconds later.
//
//gocc:go 1.18 1.27
//gocc:expect latent read/assign
//gocc:variants static stripped race
package main

import (
	"os"
	"sync"
	"time"
)

type config struct{ values map[string]string }

//go:noinline
func (c *config) set(key, value string) {
	c.values[key] = value //gocc:side assign
}

//go:noinline
func (c *config) get(key string) string {
	return c.values[key] //gocc:side read
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
	c := &config{values: map[string]string{"level": "info", "format": "text"}}
	// Late enough for both goroutines to have a thread by then.
	start := time.Now().Add(2 * time.Millisecond)
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		busy(start, 0)
		c.set("level", "debug")
	}()
	go func() {
		defer done.Done()
		busy(start, 100*time.Microsecond)
		if c.get("level") == "" {
			os.Exit(1)
		}
	}()
	done.Wait()
	os.Stdout.WriteString("done\n")
}
