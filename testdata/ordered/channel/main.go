// Channel: a map is handed from goroutine to goroutine around a ring of unbuffered channels; whoever
// has it works on it, and nobody else.
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
	stations = 5
	laps     = 200
)

func station(id int, from <-chan map[int]int, to chan<- map[int]int, done *sync.WaitGroup) {
	defer done.Done()
	for m := range from {
		m[id]++
		m[stations+id] = m[(id+1)%stations]
		if m[id]%10 == 0 {
			delete(m, stations+id)
		}
		if m[id] == laps && id == stations-1 {
			close(to)
			return
		}
		to <- m
	}
	if id != stations-1 {
		close(to)
	}
}

func main() {
	m := map[int]int{}
	var links [stations]chan map[int]int
	for i := range links {
		links[i] = make(chan map[int]int)
	}
	var done sync.WaitGroup
	done.Add(stations)
	for i := range links {
		go station(i, links[i], links[(i+1)%stations], &done)
	}
	links[0] <- m
	done.Wait()
	for i := 0; i < stations; i++ {
		if m[i] != laps {
			os.Exit(1)
		}
	}
	os.Stdout.WriteString("done\n")
}
