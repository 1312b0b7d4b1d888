// Package choices has maps for which something else than a lock is right: a sync.Map, or a struct.
package choices

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

//gocc:racy RacyInflight: what one deletes at its end meets what another one adds
func RacyInflight(ids []string) {
	inflight := map[string]bool{}
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Add(1)
		go func() {
			defer wg.Done()
			inflight[id] = true
			defer delete(inflight, id)
			time.Sleep(time.Microsecond)
		}()
	}
	wg.Wait()
}

//gocc:correct CorrectInflight: a sync.Map
func CorrectInflight(ids []string) {
	var inflight sync.Map
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Add(1)
		go func() {
			defer wg.Done()
			inflight.Store(id, true)
			defer inflight.Delete(id)
			time.Sleep(time.Microsecond)
		}()
	}
	wg.Wait()
}

//gocc:racy RacyMemo: each word is looked up, computed and kept, by all of them
func RacyMemo(words []string) int {
	var wg sync.WaitGroup
	for _, word := range words {
		wg.Add(1)
		go func() {
			defer wg.Done()
			weigh(word)
		}()
	}
	wg.Wait()
	return weigh("last")
}

var weights = map[string]int{"": 0}

func weigh(word string) int {
	if weight, ok := weights[word]; ok {
		return weight
	}
	weight := len(strings.TrimSpace(word))
	weights[word] = weight
	return weight
}

//gocc:correct CorrectMemo: who comes second takes what the first one has stored
func CorrectMemo(words []string) {
	var wg sync.WaitGroup
	for _, word := range words {
		wg.Add(1)
		go func() {
			defer wg.Done()
			kept.LoadOrStore(word, len(word))
		}()
	}
	wg.Wait()
}

var kept sync.Map

//gocc:racy RacyVisited: who looks first and marks then is not the only one
type RacyVisited struct {
	visited map[string]bool
	pages   int64
}

func (v *RacyVisited) Walk(pages []string) (all []string) {
	v.visited = map[string]bool{}
	var wg sync.WaitGroup
	for _, page := range pages {
		wg.Add(1)
		go func() {
			defer wg.Done()
			v.visit(page)
		}()
	}
	wg.Wait()
	for page := range v.visited {
		all = append(all, page)
	}
	return all
}

func (v *RacyVisited) visit(page string) {
	if v.visited[page] {
		return
	}
	v.visited[page] = true
}

//gocc:racy RacyParts: two goroutines fill one map, each its own key
func RacyParts() string {
	parts := map[string]any{"name": "", "size": 0}
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		defer wg.Done()
		parts["name"] = "gocc"
	}()
	go func() {
		defer wg.Done()
		parts["size"] = 4
	}()
	wg.Wait()
	return fmt.Sprint(parts["name"], parts["size"])
}

//gocc:correct CorrectParts: a struct, where each has its own field
func CorrectParts() string {
	var parts struct {
		name string
		size int
	}
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		defer wg.Done()
		parts.name = "gocc"
	}()
	go func() {
		defer wg.Done()
		parts.size = 4
	}()
	wg.Wait()
	return fmt.Sprint(parts.name, parts.size)
}

//gocc:racy RacyStatus: the worker writes the status that others ask for
type RacyStatus struct {
	status map[string]any
}

func (s *RacyStatus) Run(n int) {
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 0; i < n; i++ {
			s.status["jobs_done"] = i
			s.status["state"] = "running"
		}
	}()
	for i := 0; i < n; i++ {
		s.Text()
	}
	wg.Wait()
}

func (s *RacyStatus) Text() string {
	state, _ := s.status["state"].(string)
	done, _ := s.status["jobs_done"].(int)
	return fmt.Sprint(state, done)
}

//gocc:correct CorrectStatus: a struct under a lock
type CorrectStatus struct {
	mu     sync.Mutex
	status struct {
		done  int
		state string
	}
}

func (s *CorrectStatus) Run(n int) {
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 0; i < n; i++ {
			s.mu.Lock()
			s.status.done = i
			s.status.state = "running"
			s.mu.Unlock()
		}
	}()
	for i := 0; i < n; i++ {
		s.Text()
	}
	wg.Wait()
}

func (s *CorrectStatus) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.status.state, s.status.done)
}
