package captured

import (
	"context"
	"testing"
)

// Each case is run in a process of its own, as in -test.run 'TestCase/RacyLoop$', under the race detector
// and in mode hunt: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	for name, run := range map[string]func(){

		"RacyLoop": func() { RacyLoop() }, "CorrectLoop": func() { CorrectLoop() },
		"RacyParent": func() { RacyParent() }, "CorrectParent": func() { CorrectParent() },
		"RacyWaitTooLate": func() {
			for range 50 {
				RacyWaitTooLate()
			}
		}, "CorrectWait": func() { CorrectWait() },
		"RacyWaitGroupGo": func() { RacyWaitGroupGo([]string{"a", "b", "c", "d"}) }, "CorrectWaitGroupGo": func() { CorrectWaitGroupGo([]string{"a", "b"}) },
		"RacyAfterFunc": func() { RacyAfterFunc() }, "CorrectAfterFunc": func() { CorrectAfterFunc() },
		"RacySleep": func() { RacySleep() }, "CorrectOwnMap": func() { CorrectOwnMap() },
		"RacyNamedFunc": func() {
			for range 20 {
				RacyNamedFunc()
			}
		}, "CorrectOneWriter": func() { CorrectOneWriter(context.Background()) },
		"RacyTimeout": func() {
			for range 20 {
				RacyTimeout()
			}
		}, "CorrectRounds": func() { CorrectRounds() },
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
