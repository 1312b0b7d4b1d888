// Crash is the plain map race: ten goroutines assign to one map and five range over it, until the
// runtime notices and ends the program with "fatal error: concurrent map ...".
//
// The lines that may stand in a report are marked. With the runtime's checks silent for too long (one
// CPU), the program gives up and exits with code 3.
//
//gocc:go 1.18 1.27
//gocc:expect death
//gocc:expect conflict assign/assign assign/iterate
//gocc:variants static pie cgo stripped
package main

import (
	"os"
	"runtime"
	"strconv"
	"time"
)

const (
	writers = 10
	readers = 5
	keys    = 200
)

// sessions is what everybody touches.
var sessions = map[string]int{}

var names [keys]string

//go:noinline
func assignSession(name string, value int) {
	sessions[name] = value //gocc:side assign
}

//go:noinline
func sumSessions() (sum int) {
	for _, value := range sessions { //gocc:side iterate
		sum += value
	}
	return sum
}

func writer(id int) {
	for i := 0; ; i++ {
		assignSession(names[(i*7+id)%keys], i)
		if i%64 == 0 {
			runtime.Gosched()
		}
	}
}

func reader() {
	for total := 0; ; total += sumSessions() {
		runtime.Gosched()
	}
}

func main() {
	for i := range names {
		names[i] = "session-" + strconv.Itoa(i)
		sessions[names[i]] = i
	}
	for i := 0; i < writers; i++ {
		go writer(i)
	}
	for i := 0; i < readers; i++ {
		go reader()
	}
	time.Sleep(20 * time.Second)
	os.Stderr.WriteString("no death in 20 seconds\n")
	os.Exit(3)
}
