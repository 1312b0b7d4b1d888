// Overlap: one goroutine copies a large table, which takes a while, and another one assigns to it
// meanwhile, once. A copy sets no flag, and an assignment does not look for one, so that Go's own check
// sees nothing, and the program ends well.
//
//gocc:go 1.21 1.27
//gocc:expect conflict assign/clone
//gocc:variants static stripped race
package main

import (
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const entries = 300_000

var table = map[int]int{}

//go:noinline
func assign(k int) {
	table[k] = k //gocc:side assign
}

//go:noinline
func snapshot() int {
	return len(maps.Clone(table)) //gocc:side clone
}

func main() {
	for k := 0; k < entries; k++ {
		table[k] = -k
	}
	var begun int32
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		atomic.StoreInt32(&begun, 1)
		if snapshot() != entries {
			os.Exit(1)
		}
	}()
	go func() {
		defer done.Done()
		for atomic.LoadInt32(&begun) == 0 {
		}
		for start := time.Now(); time.Since(start) < 500*time.Microsecond; {
		}
		assign(7)
	}()
	done.Wait()
	os.Stdout.WriteString("done\n")
}
