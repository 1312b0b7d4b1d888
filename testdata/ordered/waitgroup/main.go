// Waitgroup: in every round one goroutine fills a map, main waits, several goroutines read it, main
// waits, and clears it by deleting. The operations of different goroutines lie microseconds apart, and
// always in order.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static stripped race
package main

import (
	"os"
	"sync"
)

const (
	rounds  = 100
	readers = 4
	keys    = 8
)

func fill(m map[int]int, round int) {
	for k := 0; k < keys; k++ {
		m[k] = round + k
	}
}

func check(m map[int]int, round int) {
	for k := 0; k < keys; k++ {
		if m[k] != round+k {
			os.Exit(1)
		}
	}
}

func main() {
	m := map[int]int{}
	for round := 0; round < rounds; round++ {
		var filled, read sync.WaitGroup
		filled.Add(1)
		go func() {
			defer filled.Done()
			fill(m, round)
		}()
		filled.Wait()
		read.Add(readers)
		for r := 0; r < readers; r++ {
			go func() {
				defer read.Done()
				check(m, round)
			}()
		}
		read.Wait()
		for k := range m {
			delete(m, k)
		}
	}
	os.Stdout.WriteString("done\n")
}
