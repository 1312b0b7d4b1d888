// Counter assigns to a map and says after every thousand operations how many it has made, until it is
// killed. What it said it made must be in the ring.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static pie stripped
package main

import (
	"os"
	"strconv"
	"time"
)

var counts = map[string]int{}

const batch = 1000

//go:noinline
func opCount(from int) {
	for i := from; i < from+batch; i++ {
		counts["total"] = i
	}
}

func main() {
	for done := batch; ; done += batch {
		opCount(done)
		os.Stdout.WriteString(strconv.Itoa(done) + "\n")
		time.Sleep(time.Millisecond)
	}
}
