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

// at computes until a moment, without any synchronisation.
func at(moment time.Time) {
	for time.Now().Before(moment) {
	}
}

func main() {
	c := &config{values: map[string]string{"level": "info", "format": "text"}}
	// Late enough for both goroutines to have a thread by then.
	start := time.Now()
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		at(start.Add(300 * time.Microsecond))
		c.set("level", "debug")
	}()
	go func() {
		defer done.Done()
		at(start.Add(400 * time.Microsecond))
		if c.get("level") == "" {
			os.Exit(1)
		}
	}()
	done.Wait()
	os.Stdout.WriteString("done\n")
}
