// Owner: one goroutine owns the map and serves requests from a channel. Its clients have maps of their
// own, on their own stacks, and recurse so that these stacks grow and move.
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
	clients  = 6
	requests = 150
)

type request struct {
	key, add int
	answer   chan int
}

func own(requests <-chan request) {
	m := map[int]int{}
	for r := range requests {
		m[r.key] += r.add
		r.answer <- m[r.key]
	}
}

// private uses a map that does not escape, at ever greater depth.
//
//go:noinline
func private(depth int) int {
	var room [128]byte
	m := map[int]int{}
	m[depth] = depth
	m[depth+1] = int(room[depth%128])
	if depth > 0 {
		m[depth] += private(depth-1) - m[depth+1]
	}
	delete(m, depth+1)
	return m[depth]
}

func client(id int, to chan<- request) {
	answer := make(chan int)
	for i := 0; i < requests; i++ {
		to <- request{id, 1, answer}
		if <-answer != i+1 {
			os.Exit(1)
		}
		if i%30 == 0 && private(i/2) != (i/2)*(i/2+1)/2 {
			os.Exit(1)
		}
	}
}

func main() {
	to := make(chan request)
	go own(to)
	var done sync.WaitGroup
	for id := 0; id < clients; id++ {
		done.Add(1)
		go func(id int) {
			defer done.Done()
			client(id, to)
		}(id)
	}
	done.Wait()
	close(to)
	os.Stdout.WriteString("done\n")
}
