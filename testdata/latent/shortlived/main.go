// Shortlived: a goroutine for every request, each alive for a few microseconds. Most do what is right;
// two of them touch the table of last visits without the lock, some 300 microseconds apart, and are
// gone at once.
//
//gocc:go 1.18 1.27
//gocc:expect latent assign/delete
//gocc:variants static stripped race
package main

import (
	"os"
	"strconv"
	"sync"
	"time"
)

const requests = 200

type server struct {
	mu     sync.Mutex
	hits   map[int]int
	visits map[string]time.Time
}

func (s *server) handle(user int) {
	s.mu.Lock()
	s.hits[user%10]++
	s.mu.Unlock()
}

//go:noinline
func (s *server) visit(name string, at time.Time) {
	s.visits[name] = at //gocc:side assign
}

//go:noinline
func (s *server) forget(name string) {
	delete(s.visits, name) //gocc:side delete
}

// busy computes for a while, without any synchronisation.
func busy(d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
	}
}

func main() {
	s := &server{hits: map[int]int{}, visits: map[string]time.Time{}}
	for i := 0; i < 10; i++ {
		s.visits["user-"+strconv.Itoa(i)] = time.Now()
	}
	var done sync.WaitGroup
	done.Add(requests + 2)
	for i := 0; i < requests; i++ {
		switch i {
		case requests / 2:
			go func() {
				defer done.Done()
				s.visit("newcomer", time.Now())
			}()
			busy(300 * time.Microsecond)
		case requests/2 + 1:
			go func() {
				defer done.Done()
				s.forget("user-3")
			}()
		}
		go func(user int) {
			defer done.Done()
			s.handle(user)
		}(i)
	}
	done.Wait()
	if s.hits[3] != requests/10 {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
