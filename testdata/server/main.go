// Server is a small JSON server with a session map behind a mutex: a clean program of the ordinary
// kind, with net/http and encoding/json. It loads itself with requests, prints what came back, and
// exits with 0.
//
// usage: server [REQUESTS]   0 serves until it is killed and prints its address
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static pie cgo stripped race
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
)

type session struct {
	User  string            `json:"user"`
	Hits  int               `json:"hits"`
	Attrs map[string]string `json:"attrs"`
}

type store struct {
	mu       sync.Mutex
	sessions map[string]*session
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user := r.URL.Query().Get("user")
	var attrs map[string]string
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&attrs); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	s.mu.Lock()
	current := s.sessions[user]
	if current == nil {
		current = &session{User: user, Attrs: map[string]string{}}
		s.sessions[user] = current
	}
	current.Hits++
	for k, v := range attrs {
		current.Attrs[k] = v
	}
	answer, err := json.Marshal(current)
	s.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(answer)
}

func request(base string, i int) (hits int, err error) {
	user := "user-" + strconv.Itoa(i%50)
	body, err := json.Marshal(map[string]string{"agent": "load", "slot": strconv.Itoa(i % 50)})
	if err != nil {
		return 0, err
	}
	response, err := http.Post(base+"/?user="+user, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var answer session
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.User != user || answer.Attrs["agent"] != "load" {
		return 0, fmt.Errorf("wrong answer: %+v", answer)
	}
	return answer.Hits, nil
}

func load(base string, requests int) (sum int) {
	const clients = 8
	var all sync.WaitGroup
	var mu sync.Mutex
	for c := 0; c < clients; c++ {
		all.Add(1)
		go func(c int) {
			defer all.Done()
			for i := c; i < requests; i += clients {
				hits, err := request(base, i)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				mu.Lock()
				sum += hits
				mu.Unlock()
			}
		}(c)
	}
	all.Wait()
	return sum
}

func main() {
	requests := 400
	if len(os.Args) > 1 {
		requests, _ = strconv.Atoi(os.Args[1])
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	sessions := &store{sessions: map[string]*session{}}
	if requests == 0 {
		fmt.Println(listener.Addr())
		fmt.Fprintln(os.Stderr, http.Serve(listener, sessions))
		os.Exit(1)
	}
	go http.Serve(listener, sessions)
	sum := load("http://"+listener.Addr().String(), requests)
	fmt.Println("requests", requests, "sessions", len(sessions.sessions), "sum", sum)
}
