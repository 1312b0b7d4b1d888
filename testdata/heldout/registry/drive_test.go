package registry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Each case is run in a process of its own, under the race detector: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	for name, run := range map[string]func(){
		"RacyMetrics":    func() { RacyMetrics(4) },
		"CorrectMetrics": func() { CorrectMetrics(4) },
		"RacySessions": func() {
			serve(NewRacySessions().Routes(), "/login?token=a&user=b", "/logout?token=a")
		},
		"CorrectSessions": func() {
			serve(NewCorrectSessions().Routes(), "/login?token=a&user=b", "/logout?token=a")
		},
		"RacyBus": func() {
			bus := NewRacyBus()
			for i := range 50 {
				bus.Subscribe("t"+strconv.Itoa(i), func(string) {})
				bus.Publish("t0", "m")
			}
		},
		"CorrectBus": func() {
			bus := NewCorrectBus()
			for i := range 50 {
				bus.Subscribe("t"+strconv.Itoa(i), func(string) {})
				bus.Publish("t0", "m")
			}
		},
		"RacyExpiry": func() {
			ctx, stop := context.WithCancel(context.Background())
			e := StartRacyExpiry(ctx)
			for i := range 100 {
				e.Put(strconv.Itoa(i), time.Microsecond)
				time.Sleep(20 * time.Microsecond)
			}
			stop()
			<-e.done
		},
		"CorrectExpiry": func() {
			ctx, stop := context.WithCancel(context.Background())
			e := StartCorrectExpiry(ctx)
			for i := range 100 {
				e.Put(strconv.Itoa(i))
			}
			stop()
			<-e.done
		},
		"RacyLimiter": func() {
			serve(RacyLimiter(http.NotFoundHandler(), 5), "/", "/")
		},
		"CorrectLimiter": func() {
			serve(CorrectLimiter(http.NotFoundHandler(), 5), "/", "/")
		},
		"RacyLazy":    func() { RacyZones([]string{"a", "b", "c", "d", "e"}) },
		"CorrectLazy": func() { CorrectZones([]string{"UTC", "CET", "b", "c"}) },
	} {
		t.Run(name, func(*testing.T) { run() })
	}
}

// serve asks a handler from several goroutines, as a server does.
func serve(handler http.Handler, targets ...string) {
	var wg sync.WaitGroup
	for _, target := range targets {
		wg.Go(func() {
			for range 20 {
				handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", target, nil))
			}
		})
	}
	wg.Wait()
}
