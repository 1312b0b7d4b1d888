// Deleteassign: a table of connections by number. One goroutine takes its connection out when it
// closes; half a millisecond later another one puts a new one in.
//
//gocc:go 1.18 1.27
//gocc:expect latent delete/assign
//gocc:variants static stripped race
package main

import (
	"os"
	"sync"
	"time"
)

type connection struct{ peer string }

var connections = map[int]*connection{}

//go:noinline
func closed(number int) {
	delete(connections, number) //gocc:side delete
}

//go:noinline
func accepted(number int, peer string) {
	connections[number] = &connection{peer} //gocc:side assign
}

func main() {
	for number := 0; number < 20; number++ {
		connections[number] = &connection{"peer"}
	}
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		closed(7)
	}()
	go func() {
		defer done.Done()
		time.Sleep(500 * time.Microsecond)
		accepted(100, "newcomer")
	}()
	done.Wait()
	if connections[3] == nil {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
