package choices

import (
	"testing"
)

// Each case is run in a process of its own, as in -test.run 'TestCase/RacyLoop$', under the race detector
// and in mode hunt: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	words := []string{"a", "b", "c", "d", "a", "b", "c", "d"}
	for name, run := range map[string]func(){

		"RacyInflight": func() { RacyInflight(words) }, "CorrectInflight": func() { CorrectInflight(words) },
		"RacyMemo": func() { RacyMemo(words) }, "CorrectMemo": func() { CorrectMemo(words) },
		"RacyVisited": func() { (&RacyVisited{}).Walk(words) },
		"RacyParts": func() {
			for range 20 {
				if got := RacyParts(); got != "gocc 4" && got != "gocc4" {
					t.Error(got)
				}
			}
		}, "CorrectParts": func() { CorrectParts() },
		"RacyStatus":    func() { (&RacyStatus{status: map[string]any{}}).Run(100) },
		"CorrectStatus": func() { (&CorrectStatus{}).Run(100) },
	} {
		t.Run(name, func(t *testing.T) { run() })
	}
}
