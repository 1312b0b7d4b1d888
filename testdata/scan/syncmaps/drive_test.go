package syncmaps

import (
	"sync"
	"testing"
)

// Each case is run in a process of its own, as in -test.run 'TestCase/RacyLoop$', under the race detector
// and in mode hunt: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	for name, run := range map[string]func(){

		"RacyValue": func() {
			c := &RacyValue{}
			twice(100, func(i int) { c.Bump("u", "a") }, func(i int) { c.Bump("u", "b") })
		},
		"CorrectValue": func() {
			c := &CorrectValue{}
			twice(100, func(i int) { c.Set("u", "a") }, func(i int) { c.Set("u", "b") })
		},
		"RacyStored": func() { RacyStored() }, "CorrectStored": func() { CorrectStored() },
		"RacyRange": func() { var m sync.Map; m.Store("a", map[string]int{}); RacyRange(&m) }, "CorrectPlain": func() { CorrectPlain() },
		"RacyPool": func() { RacyPool() }, "CorrectPool": func() { CorrectPool() },
		"CorrectLocked": func() {
			c := &CorrectLocked{}
			twice(100, func(i int) { c.Bump("u", "a") }, func(i int) { c.Bump("u", "b") })
		},
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
