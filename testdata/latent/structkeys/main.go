// Structkeys: a board with places as keys. A piece moves in while another goroutine looks at a
// neighbouring place, 40 microseconds later.
//
//gocc:go 1.18 1.27
//gocc:expect latent assign/read
//gocc:variants static stripped race
package main

import (
	"os"
	"sync"
	"time"
)

type place struct {
	column string
	row    int
}

// Large enough never to grow: an assignment that has to grow the map takes long enough to be seen.
var board = make(map[place]string, 64)

//go:noinline
func move(to place, piece string) {
	board[to] = piece //gocc:side assign
}

//go:noinline
func occupied(at place) bool {
	_, taken := board[at] //gocc:side read
	return taken
}

// busy waits for a moment and then computes for a while, without any synchronisation. What a thread
// stands still does not count, so that two of them that go on at the same moment stay apart.
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

func main() {
	for row := 1; row <= 12; row++ {
		board[place{"a", row}] = "pawn"
	}
	if board[place{"a", 1}] == "" {
		os.Exit(1)
	}
	// Late enough for both goroutines to have a thread by then.
	start := time.Now().Add(2 * time.Millisecond)
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		busy(start, 0)
		move(place{"b", 3}, "knight")
	}()
	go func() {
		defer done.Done()
		busy(start, 40*time.Microsecond)
		if !occupied(place{"a", 4}) {
			os.Exit(1)
		}
	}()
	done.Wait()
	os.Stdout.WriteString("done\n")
}
