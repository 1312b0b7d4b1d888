package order

import (
	"testing"
)

// Each case is run in a process of its own, as in -test.run 'TestCase/RacyLoop$', under the race detector
// and in mode hunt: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	for name, run := range map[string]func(){

		"RacyRangeWrite": func() { RacyRangeWrite() }, "CorrectRangeWrite": func() { CorrectRangeWrite() },
		"RacyClear": func() {
			for range 20 {
				RacyClear()
			}
		}, "CorrectClear": func() { CorrectClear() },
		"RacyAssignDelete": func() { RacyAssignDelete() }, "CorrectAssignDelete": func() { CorrectAssignDelete() },
		"RacyCond": func() {
			for range 50 {
				RacyCond()
			}
		}, "CorrectCond": func() { CorrectCond() },
		"RacyNestedGo": func() { RacyNestedGo() }, "CorrectPipeline": func() { CorrectPipeline() },
		"RacyOtherLock": func() { RacyOtherLock() }, "CorrectPhases": func() { CorrectPhases() },
		"RacyReadersAndOne": func() {
			for range 20 {
				RacyReadersAndOne()
			}
		}, "CorrectReadersOnly": func() { CorrectReadersOnly() },
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
