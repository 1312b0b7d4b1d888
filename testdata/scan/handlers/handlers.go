// Package handlers has maps behind http handlers.
package handlers

import (
	"encoding/json"
	"net/http"
	"sync"
)

//gocc:racy RacyServer: handlers count without a lock
type RacyServer struct {
	hits map[string]int
}

func (s *RacyServer) Visit(w http.ResponseWriter, r *http.Request) {
	s.hits[r.URL.Path]++
}

//gocc:correct CorrectServer: with one
type CorrectServer struct {
	mu   sync.Mutex
	hits map[string]int
}

func (s *CorrectServer) Visit(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.hits[r.URL.Path]++
	s.mu.Unlock()
}

//gocc:racy RacyTwoHandlers: one handler writes, the other reads
type RacyTwoHandlers struct {
	config map[string]string
}

func (s *RacyTwoHandlers) Put(w http.ResponseWriter, r *http.Request) {
	s.config[r.URL.Query().Get("k")] = r.URL.Query().Get("v")
}

func (s *RacyTwoHandlers) Show(w http.ResponseWriter, r *http.Request) {
	_ = json.NewEncoder(w).Encode(s.config)
}

//gocc:correct CorrectReadOnly: all handlers only read
type CorrectReadOnly struct {
	config map[string]string
}

func (s *CorrectReadOnly) Get(w http.ResponseWriter, r *http.Request) {
	_, _ = w.Write([]byte(s.config[r.URL.Path]))
}

func (s *CorrectReadOnly) Show(w http.ResponseWriter, r *http.Request) {
	_ = json.NewEncoder(w).Encode(s.config)
}

//gocc:racy RacyClosure: a handler made by a function keeps a map
func RacyClosure() http.HandlerFunc {
	seen := map[string]bool{}
	return func(w http.ResponseWriter, r *http.Request) {
		if !seen[r.URL.Path] {
			seen[r.URL.Path] = true
		}
	}
}

//gocc:correct CorrectClosure: it keeps a lock as well
func CorrectClosure() http.HandlerFunc {
	var mu sync.Mutex
	seen := map[string]bool{}
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.URL.Path] = true
	}
}

//gocc:racy RacyMux: registered functions share a local map
func RacyMux() *http.ServeMux {
	users := map[string]int{}
	mux := http.NewServeMux()
	mux.HandleFunc("/add", func(w http.ResponseWriter, r *http.Request) {
		users[r.URL.Query().Get("u")] = 1
	})
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		n := 0
		for range users {
			n++
		}
		w.WriteHeader(200 + n%2)
	})
	return mux
}

//gocc:correct CorrectMux: filled before the handlers are registered
func CorrectMux() *http.ServeMux {
	users := map[string]int{}
	for _, u := range []string{"a", "b"} {
		users[u] = len(u)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/has", func(w http.ResponseWriter, r *http.Request) {
		if users[r.URL.Query().Get("u")] == 0 {
			w.WriteHeader(404)
		}
	})
	return mux
}

//gocc:correct CorrectPerRequest: a map for each request
func CorrectPerRequest(w http.ResponseWriter, r *http.Request) {
	counts := map[rune]int{}
	for _, c := range r.URL.Path {
		counts[c]++
	}
	_ = json.NewEncoder(w).Encode(len(counts))
}

//gocc:racy RacyServeHTTP: a type that is a handler
type RacyServeHTTP struct {
	next  http.Handler
	calls map[string]int
}

func (h *RacyServeHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.calls[r.Method]++
	if h.next != nil {
		h.next.ServeHTTP(w, r)
	}
}
