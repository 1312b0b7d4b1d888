// Atomicflag: two goroutines take turns on a map; whose turn it is stands in an atomic variable, and
// the other one spins.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static stripped race
package main

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

const turns = 1000

func take(m map[int]int, id int32, whose *int32) {
	for i := 0; i < turns; i++ {
		for atomic.LoadInt32(whose) != id {
			runtime.Gosched()
		}
		m[i%16]++
		if m[i%16] < 1 {
			os.Exit(1)
		}
		if i%7 == 0 {
			delete(m, (i+3)%16)
		}
		atomic.StoreInt32(whose, 1-id)
	}
}

func main() {
	m := map[int]int{}
	var whose int32
	var done sync.WaitGroup
	done.Add(2)
	for id := int32(0); id < 2; id++ {
		go func(id int32) {
			defer done.Done()
			take(m, id, &whose)
		}(id)
	}
	done.Wait()
	os.Stdout.WriteString("done\n")
}
