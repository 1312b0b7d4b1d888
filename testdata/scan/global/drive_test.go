package global

import (
	"testing"
)

// Each case is run in a process of its own, as in -test.run 'TestCase/RacyLoop$', under the race detector
// and in mode hunt: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	for name, run := range map[string]func(){

		"RacyCount": func() { RacyCount([]string{"a", "b", "a", "b"}) }, "CorrectCount": func() { CorrectCount([]string{"a", "b", "a"}) },
		"RacyLazy": func() {
			twice(100, func(i int) { RacyLazy(string(rune(65 + i%26))) }, func(i int) { RacyLazy(string(rune(65 + i%26))) })
		},
		"CorrectLazy": func() {
			twice(100, func(i int) { CorrectLazy(string(rune(65 + i%26))) }, func(i int) { CorrectLazy(string(rune(65 + i%26))) })
		},
		"CorrectTable": func() { CorrectTable([]string{"one", "two"}) }, "CorrectInit": func() { CorrectInit([]string{"one", "two"}) },
		"RacyReload": func() { RacyReload(make(chan struct{})) }, "CorrectReload": func() { CorrectReload() },
		"RacyOnceOnly":     func() { twice(100, func(i int) { RacyOnceOnly("k") }, func(i int) { RacyOnceOnly("k") }) },
		"CorrectOnce":      func() { twice(100, func(i int) { CorrectOnce("a") }, func(i int) { CorrectOnce("a") }) },
		"RacyInitOnDemand": func() { RacyInitOnDemand() }, "CorrectFlag": func() { CorrectFlag() },
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
