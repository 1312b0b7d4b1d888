// Structkeys: a board with places as keys. A piece moves in while another goroutine looks at a
// neighbouring place, 60 microseconds later.
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

// at computes until a moment, without any synchronisation.
func at(moment time.Time) {
	for time.Now().Before(moment) {
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
	start := time.Now()
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		at(start.Add(300 * time.Microsecond))
		move(place{"b", 3}, "knight")
	}()
	go func() {
		defer done.Done()
		at(start.Add(360 * time.Microsecond))
		if !occupied(place{"a", 4}) {
			os.Exit(1)
		}
	}()
	done.Wait()
	os.Stdout.WriteString("done\n")
}
