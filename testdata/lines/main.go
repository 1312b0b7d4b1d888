// Lines makes goroutines collide below every kind of call (through C too, where the program has any), and prints at the same line of the source what
// Go's own traceback says: `shape frame;frame;...`, each frame `function file:line`, innermost first.
//
// usage: lines [MILLISECONDS FOR EACH SHAPE]
//
//gocc:go 1.18 1.27
//gocc:expect conflict assign/assign
//gocc:variants static stripped cgo cgostripped pie
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

type table map[int]int

var (
	once  sync.Mutex
	told  = map[string]bool{}
	until int64
)

//go:noinline
func here(shape string) int {
	once.Lock()
	defer once.Unlock()
	if told[shape] {
		return 1
	}
	told[shape] = true
	pcs := make([]uintptr, 100)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	var all []string
	for {
		frame, more := frames.Next()
		all = append(all, fmt.Sprintf("%s %s:%d", frame.Function, frame.File, frame.Line))
		if !more {
			break
		}
	}
	fmt.Println(shape + "\t" + strings.Join(all, ";"))
	return 1
}

func plain(m table) { m[here("plain")] = 1; m[2] = 2 }

func inlined(m table) { inner(m) }
func inner(m table)   { innermost(m) }
func innermost(m table) {
	m[here("inlined")] = 1
	m[2] = 2
}

type number interface{ ~int | ~int64 }

//go:noinline
func generic[K number](m map[K]int, k K) { m[K(here("generic"))] = 1; m[k] = 2 }

type holder struct{ m table }

//go:noinline
func (h *holder) method() { h.m[here("method")] = 1; h.m[2] = 2 }

//go:noinline
func call(f func()) { f() }

//go:noinline
func deferred(m table) {
	defer func() { m[here("deferred")] = 1; m[2] = 2 }()
}

func collide(step func()) {
	end := time.Now().Add(time.Duration(until) * time.Millisecond)
	var all sync.WaitGroup
	for g := 0; g < 2; g++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for time.Now().Before(end) {
				for i := 0; i < 50; i++ {
					step()
				}
			}
		}()
	}
	all.Wait()
}

// withC collides in Go code that C has called; without cgo it does nothing.
var withC = func() {}

func main() {
	until = 150
	if len(os.Args) > 1 {
		until, _ = strconv.ParseInt(os.Args[1], 10, 64)
	}
	m := table{}
	collide(func() { plain(m) })
	n := table{}
	collide(func() { inlined(n) })
	o := map[int64]int{}
	collide(func() { generic(o, 2) })
	h := &holder{table{}}
	value := h.method
	collide(func() { call(value) })
	c := table{}
	collide(func() { call(func() { c[here("closure")] = 1; c[2] = 2 }) })
	d := table{}
	collide(func() { deferred(d) })
	withC()
}
