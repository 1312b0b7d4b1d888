package handlers

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Each case is run in a process of its own, as in -test.run 'TestCase/RacyLoop$', under the race detector
// and in mode hunt: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	for name, run := range map[string]func(){

		"RacyServer":      func() { s := &RacyServer{hits: map[string]int{}}; requests(s.Visit) },
		"CorrectServer":   func() { s := &CorrectServer{hits: map[string]int{}}; requests(s.Visit) },
		"RacyTwoHandlers": func() { s := &RacyTwoHandlers{config: map[string]string{}}; requests(s.Put, s.Show) },
		"CorrectReadOnly": func() { s := &CorrectReadOnly{config: map[string]string{"a": "b"}}; requests(s.Get, s.Show) },
		"RacyClosure":     func() { requests(RacyClosure()) }, "CorrectClosure": func() { requests(CorrectClosure()) },
		"RacyMux": func() { m := RacyMux(); requests(m.ServeHTTP) }, "CorrectMux": func() { m := CorrectMux(); requests(m.ServeHTTP) },
		"CorrectPerRequest": func() { requests(CorrectPerRequest) },
		"RacyServeHTTP":     func() { s := &RacyServeHTTP{calls: map[string]int{}}; requests(s.ServeHTTP) },
	} {
		t.Run(name, func(t *testing.T) { run() })
	}
}

// twice runs functions at the same time, often.
func twice(times int, fs ...func(i int)) {
	done := make(chan struct{})
	for _, f := range fs {
		go func() {
			for i := 0; i < times; i++ {
				f(i)
			}
			done <- struct{}{}
		}()
	}
	for range fs {
		<-done
	}
}

var _ = twice

// requests sends requests to handlers from several goroutines.
func requests(handlers ...http.HandlerFunc) {
	send := func(i int) {
		for _, h := range handlers {
			for _, path := range []string{"/add?u=a&k=a", "/count", "/has", "/x"} {
				h(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
			}
		}
	}
	twice(50, send, send, send)
}
