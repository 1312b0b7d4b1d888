// Package views has readers that look at a whole map: encoders, printers, templates, clones, reflection, tests.
package views

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"testing"
	"text/template"
)

//gocc:racy RacyStatus: a handler encodes what a goroutine updates
type RacyStatus struct {
	state map[string]int
}

func NewRacyStatus(updates <-chan int) *RacyStatus {
	s := &RacyStatus{state: map[string]int{}}
	go func() {
		for update := range updates {
			s.state["latest"] = update
			s.state["updates"]++
		}
	}()
	return s
}

func (s *RacyStatus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(s.state); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

//gocc:correct CorrectStatus: the handler encodes a copy made under the lock
type CorrectStatus struct {
	mu    sync.RWMutex
	state map[string]int
}

func NewCorrectStatus(updates <-chan int) *CorrectStatus {
	s := &CorrectStatus{state: map[string]int{}}
	go func() {
		for update := range updates {
			s.mu.Lock()
			s.state["latest"] = update
			s.state["updates"]++
			s.mu.Unlock()
		}
	}()
	return s
}

func (s *CorrectStatus) snapshot() map[string]int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	copied := make(map[string]int, len(s.state))
	for key, value := range s.state {
		copied[key] = value
	}
	return copied
}

func (s *CorrectStatus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(s.snapshot()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

//gocc:racy RacyPrint: a goroutine prints what its starter goes on changing
func RacyPrint(out io.Writer, rounds int) {
	progress := map[string]int{"done": 0}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for range rounds {
			fmt.Fprintf(out, "progress: %v\n", progress)
		}
	}()
	for i := range rounds {
		progress["done"] = i
	}
	<-finished
}

//gocc:correct CorrectPrint: the text is made before the goroutine starts
func CorrectPrint(out io.Writer, rounds int) {
	progress := map[string]int{"done": 0}
	var printing sync.WaitGroup
	for i := range rounds {
		progress["done"] = i
		text := fmt.Sprintf("progress: %v\n", progress)
		printing.Wait()
		printing.Go(func() { io.WriteString(out, text) })
	}
	printing.Wait()
}

//gocc:racy RacyPage: a template walks a map that votes change
type RacyPage struct {
	mu    sync.Mutex
	votes map[string]int
	page  *template.Template
}

func NewRacyPage() *RacyPage {
	page := template.Must(template.New("page").Parse("{{range $k, $v := .}}{{$k}}={{$v}} {{end}}"))
	return &RacyPage{votes: map[string]int{}, page: page}
}

func (p *RacyPage) Vote(for_ string) {
	p.mu.Lock()
	p.votes[for_]++
	p.mu.Unlock()
}

func (p *RacyPage) Render(w io.Writer) error { return p.page.Execute(w, p.votes) }

//gocc:correct CorrectPage: the template walks a copy
type CorrectPage struct {
	mu    sync.Mutex
	votes map[string]int
	page  *template.Template
}

func NewCorrectPage() *CorrectPage {
	page := template.Must(template.New("page").Parse("{{range $k, $v := .}}{{$k}}={{$v}} {{end}}"))
	return &CorrectPage{votes: map[string]int{}, page: page}
}

func (p *CorrectPage) Vote(for_ string) {
	p.mu.Lock()
	p.votes[for_]++
	p.mu.Unlock()
}

func (p *CorrectPage) Render(w io.Writer) error {
	p.mu.Lock()
	votes := maps.Clone(p.votes)
	p.mu.Unlock()
	return p.page.Execute(w, votes)
}

//gocc:racy RacyBackup: a clone is made without the lock that Save takes
type RacyBackup struct {
	mu   sync.Mutex
	data map[string][]byte
}

func (b *RacyBackup) Save(name string, content []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data[name] = content
}

func (b *RacyBackup) Backup() map[string][]byte { return maps.Clone(b.data) }

//gocc:correct CorrectBackup: the clone is made under the lock
type CorrectBackup struct {
	mu   sync.Mutex
	data map[string][]byte
}

func (b *CorrectBackup) Save(name string, content []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data[name] = content
}

func (b *CorrectBackup) Backup() map[string][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.data)
}

//gocc:racy RacyMerge: goroutines copy into one map
func RacyMerge(parts []map[string]int) map[string]int {
	merged := map[string]int{}
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Add(1)
		go func() {
			defer wg.Done()
			maps.Copy(merged, part)
		}()
	}
	wg.Wait()
	return merged
}

//gocc:correct CorrectMerge: the parts arrive over a channel and are copied by one
func CorrectMerge(parts []map[string]int) map[string]int {
	merged := map[string]int{}
	arriving := make(chan map[string]int)
	for _, part := range parts {
		go func() { arriving <- part }()
	}
	for range parts {
		maps.Copy(merged, <-arriving)
	}
	return merged
}

//gocc:racy RacyReflected: goroutines fill a map by reflection
func RacyReflected(n int) map[string]int {
	target := map[string]int{}
	value := reflect.ValueOf(target)
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			value.SetMapIndex(reflect.ValueOf(fmt.Sprint(i)), reflect.ValueOf(i))
		}()
	}
	wg.Wait()
	return target
}

//gocc:correct CorrectReflected: the same under a lock
func CorrectReflected(n int) map[string]int {
	target := map[string]int{}
	value := reflect.ValueOf(target)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			mu.Lock()
			defer mu.Unlock()
			value.SetMapIndex(reflect.ValueOf(fmt.Sprint(i)), reflect.ValueOf(i))
		}()
	}
	wg.Wait()
	return target
}

//gocc:racy RacySorted: keys are collected while a goroutine removes some
func RacySorted(rounds int) []string {
	live := map[string]bool{"a": true, "b": true, "c": true}
	done := make(chan bool)
	go func() {
		for range rounds {
			delete(live, "b")
		}
		done <- true
	}()
	var keys []string
	for range rounds {
		keys = slices.Sorted(maps.Keys(live))
	}
	<-done
	return keys
}

//gocc:correct CorrectSorted: keys are collected when the goroutine has said that it is done
func CorrectSorted(rounds int) []string {
	live := map[string]bool{"a": true, "b": true, "c": true}
	done := make(chan bool)
	go func() {
		for range rounds {
			delete(live, "b")
		}
		done <- true
	}()
	<-done
	return slices.Sorted(maps.Keys(live))
}

//gocc:racy RacySubtests: parallel subtests note what they got
func RacySubtests(t *testing.T) {
	got := map[string]int{}
	for _, name := range []string{"one", "two", "three", "four"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range 10_000 {
				got[name] = i
			}
		})
	}
}

//gocc:correct CorrectSubtests: subtests that run one after the other note what they got
func CorrectSubtests(t *testing.T) {
	got := map[string]int{}
	for _, name := range []string{"one", "two", "three", "four"} {
		t.Run(name, func(t *testing.T) {
			for i := range 10_000 {
				got[name] = i
			}
		})
	}
	if len(got) != 4 {
		t.Error("one is missing")
	}
}
