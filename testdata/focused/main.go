// Focused: four maps, each touched by two goroutines, once each in a run, some 400 microseconds apart, and by nobody
// else. A hunt that knows nothing sees at most that they were near; one that knows where gocc scan suspects
// something holds the first of the two until the other comes.
//
//gocc:go 1.21 1.27
//gocc:expect focused
//gocc:variants static
package main

import (
	"os"
	"sync"
	"time"
)

const apart = 400 * time.Microsecond

var (
	begin time.Time
	done  sync.WaitGroup
)

// at waits for a moment of the run.
func at(moment time.Duration) { time.Sleep(time.Until(begin.Add(moment))) }

var visits = map[string]int{}

func global() {
	done.Add(2)
	go func() {
		defer done.Done()
		at(2 * time.Millisecond)
		visits["first"] = 1 //gocc:side assign global
	}()
	go func() {
		defer done.Done()
		at(2*time.Millisecond + apart)
		visits["second"] = 2 //gocc:side assign global
	}()
}

type cache struct {
	mu      sync.Mutex
	entries map[string]int
}

//go:noinline
func (c *cache) put(key string, value int) {
	c.mu.Lock()
	c.entries[key] = value //gocc:side assign field
	c.mu.Unlock()
}

//go:noinline
func (c *cache) get(key string) int {
	return c.entries[key] //gocc:side read field
}

func field() {
	c := &cache{entries: map[string]int{}}
	done.Add(2)
	go func() {
		defer done.Done()
		at(12 * time.Millisecond)
		c.put("key", 1)
	}()
	go func() {
		defer done.Done()
		at(12*time.Millisecond + apart)
		c.get("key")
	}()
}

var seen string

func captured() {
	names := map[int]string{}
	done.Add(2)
	go func() {
		defer done.Done()
		at(22 * time.Millisecond)
		names[0] = "new" //gocc:side assign captured
	}()
	go func() {
		defer done.Done()
		at(22*time.Millisecond + apart)
		seen = names[1] //gocc:side read captured
	}()
}

//go:noinline
func add(to map[string]bool, name string) {
	to[name] = true //gocc:side assign passed
}

func passed() {
	found := map[string]bool{}
	done.Add(2)
	for _, moment := range []time.Duration{32 * time.Millisecond, 32*time.Millisecond + apart} {
		go func(moment time.Duration) {
			defer done.Done()
			at(moment)
			add(found, moment.String())
		}(moment)
	}
}

func main() {
	begin = time.Now()
	global()
	field()
	captured()
	passed()
	done.Wait()
	os.Stdout.WriteString("done\n")
}
