// Package registry has what servers keep: counters, sessions, subscribers, caches.
package registry

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

//gocc:racy RacyMetrics: reporters that are started count in a package variable
var racyCounters = make(map[string]int64)

func RacyMetrics(reporters int) {
	var wg sync.WaitGroup
	for i := 0; i < reporters; i++ {
		wg.Add(1)
		go racyReport(&wg, "requests")
	}
	wg.Wait()
}

func racyReport(wg *sync.WaitGroup, name string) {
	defer wg.Done()
	for i := 0; i < 50; i++ {
		racyObserve(name, 1)
	}
}

func racyObserve(name string, by int64) { racyCounters[name] += by }

//gocc:correct CorrectMetrics: the same, and the package has a lock for it
var (
	correctCountersMu sync.Mutex
	correctCounters   = make(map[string]int64)
)

func CorrectMetrics(reporters int) {
	var wg sync.WaitGroup
	for i := 0; i < reporters; i++ {
		wg.Add(1)
		go correctReport(&wg, "requests")
	}
	wg.Wait()
}

func correctReport(wg *sync.WaitGroup, name string) {
	defer wg.Done()
	for i := 0; i < 50; i++ {
		correctObserve(name, 1)
	}
}

func correctObserve(name string, by int64) {
	correctCountersMu.Lock()
	defer correctCountersMu.Unlock()
	correctCounters[name] += by
}

//gocc:racy RacySessions: two handlers of one server add and remove
type RacySessions struct {
	users map[string]string
}

func NewRacySessions() *RacySessions { return &RacySessions{users: map[string]string{}} }

func (s *RacySessions) Routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	return mux
}

func (s *RacySessions) login(w http.ResponseWriter, r *http.Request) {
	token := r.FormValue("token")
	s.users[token] = r.FormValue("user")
	w.WriteHeader(http.StatusNoContent)
}

func (s *RacySessions) logout(w http.ResponseWriter, r *http.Request) {
	delete(s.users, r.FormValue("token"))
	w.WriteHeader(http.StatusNoContent)
}

//gocc:correct CorrectSessions: the same with an embedded lock
type CorrectSessions struct {
	sync.RWMutex
	users map[string]string
}

func NewCorrectSessions() *CorrectSessions {
	return &CorrectSessions{users: map[string]string{}}
}

func (s *CorrectSessions) Routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("GET /me", s.me)
	return mux
}

func (s *CorrectSessions) login(w http.ResponseWriter, r *http.Request) {
	token, user := r.FormValue("token"), r.FormValue("user")
	s.Lock()
	s.users[token] = user
	s.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (s *CorrectSessions) logout(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	defer s.Unlock()
	delete(s.users, r.FormValue("token"))
	w.WriteHeader(http.StatusNoContent)
}

func (s *CorrectSessions) me(w http.ResponseWriter, r *http.Request) {
	s.RLock()
	user, ok := s.users[r.FormValue("token")]
	s.RUnlock()
	if !ok {
		http.Error(w, "who?", http.StatusUnauthorized)
		return
	}
	w.Write([]byte(user))
}

//gocc:racy RacyBus: what Publish starts reads the subscribers when others may subscribe already
type RacyBus struct {
	subscribers map[string][]func(string)
}

func NewRacyBus() *RacyBus { return &RacyBus{subscribers: map[string][]func(string){}} }

func (b *RacyBus) Subscribe(topic string, f func(string)) {
	b.subscribers[topic] = append(b.subscribers[topic], f)
}

func (b *RacyBus) Publish(topic, message string) {
	go func() {
		for _, f := range b.subscribers[topic] {
			f(message)
		}
	}()
}

//gocc:correct CorrectBus: what Publish starts has a list of its own
type CorrectBus struct {
	mu          sync.Mutex
	subscribers map[string][]func(string)
}

func NewCorrectBus() *CorrectBus { return &CorrectBus{subscribers: map[string][]func(string){}} }

func (b *CorrectBus) Subscribe(topic string, f func(string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribers[topic] = append(b.subscribers[topic], f)
}

func (b *CorrectBus) Publish(topic, message string) {
	b.mu.Lock()
	interested := append([]func(string){}, b.subscribers[topic]...)
	b.mu.Unlock()
	go func() {
		for _, f := range interested {
			f(message)
		}
	}()
}

//gocc:racy RacyExpiry: a ticker's loop deletes what Put assigns
type RacyExpiry struct {
	deadlines map[string]time.Time
	done      chan struct{}
}

func StartRacyExpiry(ctx context.Context) *RacyExpiry {
	e := &RacyExpiry{deadlines: make(map[string]time.Time), done: make(chan struct{})}
	go e.loop(ctx)
	return e
}

func (e *RacyExpiry) loop(ctx context.Context) {
	defer close(e.done)
	ticker := time.NewTicker(50 * time.Microsecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for key, deadline := range e.deadlines {
				if now.After(deadline) {
					delete(e.deadlines, key)
				}
			}
		}
	}
}

func (e *RacyExpiry) Put(key string, life time.Duration) {
	e.deadlines[key] = time.Now().Add(life)
}

//gocc:correct CorrectExpiry: the loop owns the map, Put sends
type CorrectExpiry struct {
	put  chan string
	done chan struct{}
}

func StartCorrectExpiry(ctx context.Context) *CorrectExpiry {
	e := &CorrectExpiry{put: make(chan string), done: make(chan struct{})}
	go e.loop(ctx)
	return e
}

func (e *CorrectExpiry) loop(ctx context.Context) {
	defer close(e.done)
	deadlines := make(map[string]time.Time)
	ticker := time.NewTicker(50 * time.Microsecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-e.put:
			deadlines[key] = time.Now().Add(time.Millisecond)
		case now := <-ticker.C:
			for key, deadline := range deadlines {
				if now.After(deadline) {
					delete(deadlines, key)
				}
			}
		}
	}
}

func (e *CorrectExpiry) Put(key string) { e.put <- key }

//gocc:racy RacyLimiter: a middleware counts by client in what it closes over
func RacyLimiter(next http.Handler, most int) http.Handler {
	seen := map[string]int{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _, _ := strings.Cut(r.RemoteAddr, ":")
		seen[client]++
		if seen[client] > most {
			http.Error(w, "slow down", http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	})
}

//gocc:correct CorrectLimiter: the same with a lock that it closes over too
func CorrectLimiter(next http.Handler, most int) http.Handler {
	var mu sync.Mutex
	seen := map[string]int{}
	allowed := func(client string) bool {
		mu.Lock()
		defer mu.Unlock()
		seen[client]++
		return seen[client] <= most
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _, _ := strings.Cut(r.RemoteAddr, ":")
		if !allowed(client) {
			http.Error(w, "slow down", http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	})
}

//gocc:racy RacyLazy: made once, but filled by everybody
type RacyLazy struct {
	once  sync.Once
	zones map[string]*time.Location
}

func (l *RacyLazy) Zone(name string) *time.Location {
	l.once.Do(func() { l.zones = map[string]*time.Location{} })
	zone, ok := l.zones[name]
	if !ok {
		zone = time.FixedZone(name, 0)
		l.zones[name] = zone
	}
	return zone
}

func RacyZones(names []string) {
	lazy := &RacyLazy{}
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Add(1)
		go func() {
			defer wg.Done()
			lazy.Zone(name)
		}()
	}
	wg.Wait()
}

//gocc:correct CorrectLazy: made and filled once, then only read
type CorrectLazy struct {
	once  sync.Once
	zones map[string]*time.Location
}

func (l *CorrectLazy) Zone(name string) *time.Location {
	l.once.Do(l.fill)
	return l.zones[name]
}

func (l *CorrectLazy) fill() {
	l.zones = map[string]*time.Location{}
	for _, name := range []string{"UTC", "CET", "EST"} {
		l.zones[name] = time.FixedZone(name, 0)
	}
}

func CorrectZones(names []string) {
	lazy := &CorrectLazy{}
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Add(1)
		go func() {
			defer wg.Done()
			lazy.Zone(name)
		}()
	}
	wg.Wait()
}
