// Writers: ten goroutines assign to one map and five range over it, without any lock, for a bounded
// amount of work. Natively Go's own check kills it; guarded it reaches its end and exits with 0. What
// the map then holds is not checked: guard keeps the process alive, it does not bring back lost updates.
//
//gocc:go 1.18 1.27
//gocc:expect survives
//gocc:expect conflict assign/assign assign/iterate
//gocc:variants static stripped
package main

import (
	"os"
	"runtime"
	"strconv"
	"sync"
)

const (
	writers = 10
	rangers = 5
	assigns = 100000 // of each writer
	ranges  = 1500   // of each ranger
	keys    = 200
)

var (
	sessions = map[string]int{}
	names    [2 * keys]string
)

//go:noinline
func assignSession(name string, value int) {
	sessions[name] = value //gocc:side assign
}

//go:noinline
func countSessions() (n int) {
	for _, value := range sessions { //gocc:side iterate
		n += value & 1
	}
	return n
}

func write(id int) {
	for i := 0; i < assigns; i++ {
		// Only the second half of the work makes new entries, so the map grows under way.
		assignSession(names[(i*7+id)%keys+i/(assigns/2)*keys], i)
		if i%64 == 0 {
			runtime.Gosched()
		}
	}
}

func count() {
	for i := 0; i < ranges; i++ {
		if countSessions() < 0 {
			os.Exit(1)
		}
		runtime.Gosched()
	}
}

func main() {
	for i := range names {
		names[i] = "session-" + strconv.Itoa(i)
		if i < keys {
			sessions[names[i]] = i
		}
	}
	var done sync.WaitGroup
	done.Add(writers + rangers)
	for i := 0; i < writers; i++ {
		go func(id int) {
			defer done.Done()
			write(id)
		}(i)
	}
	for i := 0; i < rangers; i++ {
		go func() {
			defer done.Done()
			count()
		}()
	}
	done.Wait()
	os.Stdout.WriteString("survived\n")
}
