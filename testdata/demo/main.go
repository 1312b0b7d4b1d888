// Demo is the little server behind `gocc demo`: it keeps its users' sessions in a cache, answers a
// simulated load, and has a bug of a kind that reached many real programs. Login takes the lock, but
// the handler that renews a session does not, while a janitor walks the same map and throws out what
// has expired. It ends after a second and a half, or dies before.
//
// No network and no fmt: the executable is part of gocc and should be small.
//
//gocc:go 1.18 1.27
//gocc:expect conflict assign/assign assign/iterate assign/delete assign/read
//gocc:variants static stripped
package main

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	users    = 64
	clients  = 6
	lifetime = 40 * time.Millisecond
	duration = 1500 * time.Millisecond
)

// Session is what the server knows about one user.
type Session struct {
	User    string
	Renewed time.Time
	Hits    int
}

// Server answers requests; sessions is shared by all its goroutines.
type Server struct {
	mu       sync.Mutex
	sessions map[string]*Session
	requests int64
	expired  int64
}

// Login makes a session, correctly.
func (s *Server) Login(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[user] = &Session{User: user, Renewed: time.Now()} //gocc:side assign
}

// Renew replaces a session by a younger one. THE BUG: it forgets the lock.
func (s *Server) Renew(user string) bool {
	old := s.sessions[user] //gocc:side read
	if old == nil {
		return false
	}
	s.sessions[user] = &Session{User: user, Renewed: time.Now(), Hits: old.Hits + 1} //gocc:side assign
	return true
}

// Handle answers one request.
func (s *Server) Handle(user string) {
	atomic.AddInt64(&s.requests, 1)
	if !s.Renew(user) {
		s.Login(user)
	}
}

// Janitor throws out the sessions that nobody renewed.
func (s *Server) Janitor(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		s.mu.Lock()
		now := time.Now()
		for user, session := range s.sessions { //gocc:side iterate
			if now.Sub(session.Renewed) > lifetime {
				delete(s.sessions, user) //gocc:side delete
				s.expired++
			}
		}
		s.mu.Unlock()
		runtime.Gosched()
	}
}

// client sends requests for its share of the users until told to stop.
func client(s *Server, names []string, seed uint32, stop <-chan struct{}, done *sync.WaitGroup) {
	defer done.Done()
	for {
		for i := 0; i < 32; i++ {
			seed = seed*1664525 + 1013904223
			s.Handle(names[seed>>16%users])
		}
		select {
		case <-stop:
			return
		default:
			runtime.Gosched()
		}
	}
}

func userNames() []string {
	names := make([]string, users)
	for i := range names {
		names[i] = "user-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
	}
	return names
}

func main() {
	server := &Server{sessions: map[string]*Session{}}
	stop := make(chan struct{})
	var done sync.WaitGroup
	names := userNames()
	os.Stdout.WriteString("demo server: " + decimal(clients) + " clients, " + decimal(users) + " users\n")
	go server.Janitor(stop)
	for i := 0; i < clients; i++ {
		done.Add(1)
		go client(server, names, uint32(i+1), stop, &done)
	}
	time.Sleep(duration)
	close(stop)
	done.Wait()
	os.Stdout.WriteString("demo server: done, " + decimal(int(server.requests)) + " requests\n")
}

func decimal(n int) string {
	digits := []byte{}
	for first := true; first || n > 0; first = false {
		digits = append([]byte{byte('0' + n%10)}, digits...)
		n /= 10
	}
	return string(digits)
}
