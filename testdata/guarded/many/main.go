// Many: a hundred thousand goroutines that exist at the same time and are let loose on one map at once.
//
//gocc:go 1.18 1.27
//gocc:expect survives
//gocc:expect conflict assign/assign assign/read
//gocc:variants static stripped
package main

import (
	"os"
	"runtime"
	"sync"
)

const goroutines = 100_000

var table = map[int]int{}

//go:noinline
func assign(k int) {
	table[k%1000] = k //gocc:side assign
}

//go:noinline
func read(k int) int {
	return table[k%1000] //gocc:side read
}

func main() {
	var done sync.WaitGroup
	start := make(chan struct{})
	done.Add(goroutines)
	for i := 0; i < goroutines; i++ {
		go func(i int) {
			defer done.Done()
			<-start
			assign(i)
			if i%4 == 0 {
				runtime.Gosched()
			}
			if read(i+1) < 0 {
				os.Exit(1)
			}
		}(i)
	}
	close(start)
	done.Wait()
	os.Stdout.WriteString("survived\n")
}
