package views

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
)

// Each case is run in a process of its own, under the race detector: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	parts := make([]map[string]int, 20)
	for i := range parts {
		parts[i] = map[string]int{strconv.Itoa(i): i}
	}
	for name, run := range map[string]func(t *testing.T){
		"RacyStatus": func(*testing.T) {
			updates := make(chan int)
			ask(NewRacyStatus(updates), updates)
		},
		"CorrectStatus": func(*testing.T) {
			updates := make(chan int)
			ask(NewCorrectStatus(updates), updates)
		},
		"RacyPrint":    func(*testing.T) { RacyPrint(io.Discard, 200) },
		"CorrectPrint": func(*testing.T) { CorrectPrint(io.Discard, 200) },
		"RacyPage": func(*testing.T) {
			p := NewRacyPage()
			both(func(i int) { p.Vote(strconv.Itoa(i)) }, func(int) { p.Render(io.Discard) })
		},
		"CorrectPage": func(*testing.T) {
			p := NewCorrectPage()
			both(func(i int) { p.Vote(strconv.Itoa(i)) }, func(int) { p.Render(io.Discard) })
		},
		"RacyBackup": func(*testing.T) {
			b := &RacyBackup{data: map[string][]byte{}}
			both(func(i int) { b.Save(strconv.Itoa(i), nil) }, func(int) { b.Backup() })
		},
		"CorrectBackup": func(*testing.T) {
			b := &CorrectBackup{data: map[string][]byte{}}
			both(func(i int) { b.Save(strconv.Itoa(i), nil) }, func(int) { b.Backup() })
		},
		"RacyMerge":        func(*testing.T) { RacyMerge(parts) },
		"CorrectMerge":     func(*testing.T) { CorrectMerge(parts) },
		"RacyReflected":    func(*testing.T) { RacyReflected(50) },
		"CorrectReflected": func(*testing.T) { CorrectReflected(50) },
		"RacySorted":       func(*testing.T) { RacySorted(200) },
		"CorrectSorted":    func(*testing.T) { CorrectSorted(200) },
		"RacySubtests":     RacySubtests,
		"CorrectSubtests":  CorrectSubtests,
	} {
		t.Run(name, run)
	}
}

// ask lets a status change and be asked for at the same time.
func ask(status http.Handler, updates chan int) {
	both(
		func(i int) { updates <- i },
		func(int) { status.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)) },
	)
	close(updates)
}

// both runs two functions at the same time, often.
func both(one, other func(int)) {
	var wg sync.WaitGroup
	for _, f := range []func(int){one, other} {
		wg.Go(func() {
			for i := range 100 {
				f(i)
			}
		})
	}
	wg.Wait()
}
