// Collector: unlocked maps that grow all the time, under a garbage collector that never rests: an
// operation that allocates is parked in its middle to help the collector, and the world is stopped over
// and over while others wait for their turn.
//
//gocc:go 1.18 1.27
//gocc:expect survives
//gocc:expect conflict assign/assign assign/iterate assign/read
//gocc:variants static stripped
package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

const (
	workers = 6
	rounds  = 12
	keys    = 600
	collect = 60
)

type shared struct {
	numbers map[int]int
	blocks  map[int]*[64]int
}

//go:noinline
func (s *shared) grow(k int) {
	s.numbers[k] = k           //gocc:side assign
	s.blocks[k] = new([64]int) //gocc:side assign
}

//go:noinline
func (s *shared) look(k int) int {
	n := s.numbers[k]               //gocc:side read
	if b := s.blocks[k]; b != nil { //gocc:side read
		n += b[k%64]
	}
	return n
}

//go:noinline
func (s *shared) sum() (n int) {
	for _, v := range s.numbers { //gocc:side iterate
		n += v & 1
	}
	return n
}

func main() {
	debug.SetGCPercent(1)
	var done sync.WaitGroup
	var tables [rounds]shared
	for i := range tables {
		tables[i] = shared{map[int]int{}, map[int]*[64]int{}}
	}
	for id := 0; id < workers; id++ {
		done.Add(1)
		go func(id int) {
			defer done.Done()
			for round := range tables {
				s := &tables[round]
				for k := 0; k < keys; k++ {
					s.grow(k*workers + id)
					if s.look(k) < 0 {
						os.Exit(1)
					}
				}
				if s.sum() < 0 {
					os.Exit(1)
				}
			}
		}(id)
	}
	done.Add(1)
	go func() {
		defer done.Done()
		for i := 0; i < collect; i++ {
			runtime.GC()
		}
	}()
	done.Wait()
	os.Stdout.WriteString("survived\n")
}
