// Mapbound does little else than using maps, for MS milliseconds, in GOROUTINES goroutines, each with maps of its own,
// and prints how many operations that were. After 25 operations it computes for US microseconds. Meanwhile, four times
// in the second half, one goroutine assigns and another reads, 200 microseconds later, without any synchronisation;
// natively nobody notices.
//
//	mapbound MS GOROUTINES US
//
//gocc:go 1.18 1.27
//gocc:expect latent read/assign
//gocc:variants static
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

type table map[string]int

//go:noinline
func (t table) set(key string, value int) {
	t[key] = value //gocc:side assign
}

//go:noinline
func (t table) get(key string) int {
	return t[key] //gocc:side read
}

var keys = [...]string{"one", "two", "three", "four", "five", "six", "seven", "eight"}

// churn uses many small maps, as templates and documents do.
func churn(end time.Time, pause time.Duration) (operations int) {
	var last map[string]int
	for round := 0; round%64 != 0 || time.Now().Before(end); round++ {
		busy(time.Time{}, pause)
		m := make(map[string]int)
		for i, key := range keys {
			m[key] = i
		}
		sum := 0
		for _, key := range keys {
			sum += m[key]
		}
		for range m {
			sum--
		}
		delete(m, keys[round%len(keys)])
		operations += 3*len(keys) + 1
		last = m
	}
	sink.Store(last)
	return operations
}

// sink keeps maps off the stack.
var sink atomic.Value

// busy waits for a moment and then computes for a while, without any synchronisation.
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

func number(argument int) int {
	n, err := strconv.Atoi(os.Args[argument])
	if err != nil {
		panic(err)
	}
	return n
}

// meetings are few, and one may not do: the scheduler can take the two goroutines far apart.
const meetings = 4

// meet makes a map that two goroutines use at some time from now.
func meet(at time.Duration, done *sync.WaitGroup) {
	shared := table{"one": 1}
	done.Add(2)
	go func() {
		defer done.Done()
		time.Sleep(at)
		shared.set("one", 2)
	}()
	go func() {
		defer done.Done()
		time.Sleep(at)
		busy(time.Now(), 200*time.Microsecond)
		if shared.get("one") == 0 {
			os.Exit(1)
		}
	}()
}

func main() {
	ms, goroutines, us := number(1), number(2), number(3)
	length := time.Duration(ms) * time.Millisecond
	start := time.Now()
	operations := make([]int, goroutines)
	var done sync.WaitGroup
	for i := range operations {
		done.Add(1)
		go func(i int) {
			defer done.Done()
			operations[i] = churn(start.Add(length), time.Duration(us)*time.Microsecond)
		}(i)
	}
	for i := 0; i < meetings; i++ {
		at := length / 2 * time.Duration(meetings+i) / meetings
		meet(at, &done)
	}
	done.Wait()
	sum := 0
	for _, n := range operations {
		sum += n
	}
	fmt.Println("operations:", sum)
}
