// Scale lets goroutines use maps of their own, many of either, and prints the nanoseconds of all goroutines together
// for an operation: two reads and an assignment, then the next map.
//
// usage: scale GOROUTINES MAPS OPERATIONS [race]
//
// With race, two more goroutines write to one map without a lock, until the runtime notices.
//
//gocc:go 1.18 1.27
//gocc:variants static
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

var maps []map[int]int

func number(argument int) int {
	n, err := strconv.Atoi(os.Args[argument])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return n
}

// work is one goroutine's share: every GOROUTINESth map, again and again.
func work(first, step, operations int) (sum int) {
	at := first
	for i := 0; i < operations; i += 3 {
		m := maps[at]
		sum += m[i&7]
		m[i&7] = i
		sum += m[1]
		if at += step; at >= len(maps) {
			at = first
		}
	}
	return sum
}

func collide(m map[int]int) {
	for i := 0; ; i++ {
		m[i&7] = i //gocc:side assign
	}
}

func main() {
	goroutines, count, operations := number(1), number(2), number(3)
	for i := 0; i < count; i++ {
		m := make(map[int]int)
		for k := 0; k < 8; k++ {
			m[k] = k
		}
		maps = append(maps, m)
	}
	if len(os.Args) > 4 {
		shared := map[int]int{}
		go collide(shared)
		go collide(shared)
	}
	var started, done sync.WaitGroup
	start := make(chan bool)
	started.Add(goroutines)
	done.Add(goroutines)
	for g := 0; g < goroutines; g++ {
		go func(g int) {
			started.Done()
			<-start
			work(g%count, goroutines, operations/goroutines)
			done.Done()
		}(g)
	}
	started.Wait()
	begun := time.Now()
	close(start)
	done.Wait()
	fmt.Printf("%.2f\n", float64(time.Since(begun).Nanoseconds())/float64(operations))
}
