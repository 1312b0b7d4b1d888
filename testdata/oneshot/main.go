// Oneshot is a map race between goroutines that live for a single map operation each. They are started
// without pause until the runtime notices. By then the other goroutine is mostly gone: Go's own dump
// names both in about one of 180 deaths.
//
//gocc:go 1.18 1.27
//gocc:expect death
//gocc:expect conflict assign/assign assign/iterate
//gocc:variants static pie cgo stripped
package main

import (
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

const most = 200 // goroutines alive at once

var (
	counters = map[string]int{}
	alive    int64
	names    = [...]string{"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"}
	sink     int64
)

func assignOnce(name string, value int) {
	counters[name] = value //gocc:side assign
	atomic.AddInt64(&alive, -1)
}

func iterateOnce() {
	sum := 0
	for _, value := range counters { //gocc:side iterate
		sum += value
	}
	atomic.AddInt64(&sink, int64(sum))
	atomic.AddInt64(&alive, -1)
}

func main() {
	for _, name := range names {
		counters[name] = 1
	}
	for i, end := 0, time.Now().Add(60*time.Second); time.Now().Before(end); i++ {
		for atomic.LoadInt64(&alive) >= most {
			runtime.Gosched()
		}
		atomic.AddInt64(&alive, 1)
		if i%3 == 2 {
			go iterateOnce()
		} else {
			go assignOnce(names[i%len(names)], i)
		}
	}
	os.Stderr.WriteString("no death in 60 seconds\n")
	os.Exit(3)
}
