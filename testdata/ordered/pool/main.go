// Pool: maps go through a sync.Pool from goroutine to goroutine, and many more are made and dropped
// while the garbage collector runs, so that their memory is used again by maps of other goroutines.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static stripped race
package main

import (
	"os"
	"runtime"
	"sync"
)

const (
	workers = 6
	rounds  = 120
	keys    = 6
)

var pool = sync.Pool{New: func() any { return map[int]int{} }}

func pooled(id int) {
	m := pool.Get().(map[int]int)
	for k := 0; k < keys; k++ {
		m[k] = id
	}
	for k := 0; k < keys; k++ {
		if m[k] != id {
			os.Exit(1)
		}
		delete(m, k)
	}
	pool.Put(m)
}

//go:noinline
func dropped(id int) map[int]int {
	m := make(map[int]int, 9)
	for k := 0; k < keys; k++ {
		m[k] = id + k
	}
	return m
}

func main() {
	var done sync.WaitGroup
	for id := 0; id < workers; id++ {
		done.Add(1)
		go func(id int) {
			defer done.Done()
			for i := 0; i < rounds; i++ {
				pooled(id)
				if dropped(id)[1] != id+1 {
					os.Exit(1)
				}
				if i%40 == 0 {
					runtime.GC()
				}
			}
		}(id)
	}
	done.Wait()
	os.Stdout.WriteString("done\n")
}
