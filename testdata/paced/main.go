// Paced touches a map in one way for a while, at its own pace, for tests that change what is in force meanwhile:
//
//	paced apart MS   one goroutine assigns and another reads, 5 ms later, without any synchronisation
//	paced long MS    one goroutine reads, for milliseconds each time, while another wants to assign
//	paced locked MS  one goroutine assigns and another reads, under one lock
//	paced handed MS  two goroutines hand the map to each other
//	paced places 0   goroutines assign at many places, one after the other
//
//gocc:go 1.21 1.27
//gocc:expect conflict assign/read
//gocc:variants static
package main

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const apart = 5 * time.Millisecond

type table map[string]int

//go:noinline
func (t table) set(key string) {
	t[key]++ //gocc:side assign
}

//go:noinline
func (t table) get(key string) int {
	return t[key] //gocc:side read
}

// each calls f at start, and every period from then on, until the end.
func each(start time.Time, period time.Duration, end time.Time, f func()) {
	for ; start.Before(end); start = start.Add(period) {
		time.Sleep(time.Until(start))
		f()
	}
}

func inTurns(t table, end time.Time) {
	start := time.Now().Add(apart)
	together(
		func() { each(start, 2*apart, end, func() { t.set("key") }) },
		func() { each(start.Add(apart), 2*apart, end, func() { t.get("key") }) },
	)
}

// long: hashing a key of 64 MB takes milliseconds, and the reader is inside the operation all the while.
func long(t table, end time.Time) {
	for i := 0; i < 100; i++ {
		t.set(strconv.Itoa(i))
	}
	key := strings.Repeat("key ", 16<<20)
	together(
		func() {
			for time.Now().Before(end) {
				t.get(key)
			}
		},
		func() { each(time.Now(), time.Millisecond, end, func() { t.set("7") }) },
	)
}

func locked(t table, end time.Time) {
	var mu sync.Mutex
	under := func(f func()) func() {
		return func() {
			mu.Lock()
			defer mu.Unlock()
			f()
		}
	}
	together(
		func() { each(time.Now(), 100*time.Microsecond, end, under(func() { t.set("key") })) },
		func() { each(time.Now(), 100*time.Microsecond, end, under(func() { t.get("key") })) },
	)
}

func handed(t table, end time.Time) {
	there, back := make(chan table), make(chan table)
	together(
		func() {
			for t := range there {
				t.get("key")
				back <- t
			}
		},
		func() {
			each(time.Now(), 100*time.Microsecond, end, func() {
				t.set("key")
				there <- t
				t = <-back
			})
			close(there)
		},
	)
}

// places: nothing here depends on the time.
func places(t table) {
	steps := []func(){
		func() { t["a"]++ }, func() { t["b"]++ }, func() { t["c"]++ }, func() { t["d"]++ },
		func() { t["e"]++ }, func() { t["f"]++ }, func() { t["g"]++ }, func() { t["h"]++ },
		func() { t["i"]++ }, func() { t["j"]++ }, func() { t["k"]++ }, func() { t["l"]++ },
	}
	for round := 0; round < 20; round++ {
		for _, step := range steps {
			together(step)
		}
	}
}

func together(workers ...func()) {
	var done sync.WaitGroup
	for _, work := range workers {
		work := work
		done.Add(1)
		go func() {
			defer done.Done()
			work()
		}()
	}
	done.Wait()
}

func main() {
	ms, _ := strconv.Atoi(os.Args[2])
	end := time.Now().Add(time.Duration(ms) * time.Millisecond)
	t := table{}
	switch os.Args[1] {
	case "apart":
		inTurns(t, end)
	case "long":
		long(t, end)
	case "locked":
		locked(t, end)
	case "handed":
		handed(t, end)
	case "places":
		places(t)
	}
	os.Stdout.WriteString("done\n")
}
