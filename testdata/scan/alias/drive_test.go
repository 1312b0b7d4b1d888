package alias

import (
	"testing"
)

// Each case is run in a process of its own, as in -test.run 'TestCase/RacyLoop$', under the race detector
// and in mode hunt: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	for name, run := range map[string]func(){

		"RacyParam": func() { RacyParam(map[int]int{}) }, "CorrectParam": func() { CorrectParam(map[int]int{}) },
		"RacyPointer": func() {
			for range 20 {
				RacyPointer()
			}
		}, "CorrectPointer": func() { CorrectPointer() },
		"RacyGetter": func() {
			c := &RacyGetter{attrs: map[string]string{}}
			twice(100, func(i int) { c.Set("a", "b") }, func(i int) { c.Both("a") })
		},
		"CorrectGetter": func() {
			c := &CorrectGetter{attrs: map[string]string{}}
			twice(100, func(i int) { c.Set("a", "b") }, func(i int) { c.Attr("a") })
		},
		"RacyChannel": func() { RacyChannel() }, "CorrectChannel": func() { CorrectChannel() },
		"RacyReused": func() { RacyReused() }, "CorrectBatches": func() { CorrectBatches() },
		"RacyStructCopy": func() { RacyStructCopy() }, "CorrectStructCopy": func() { CorrectStructCopy() },
		"RacyResult": func() {
			for range 20 {
				RacyResult()
			}
		}, "CorrectResult": func() { CorrectResult() },
		"RacyWorkers": func() { RacyWorkers([]int{1, 2, 3, 4, 5, 6, 7, 8}) }, "CorrectWorkers": func() { CorrectWorkers([]int{1, 2, 3, 4}) },
		"RacyContext": func() {
			for range 50 {
				RacyContext()
			}
		},
		"CorrectSemaphore": func() { CorrectSemaphore() }, "RacySemaphore": func() {
			for range 20 {
				RacySemaphore()
			}
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
