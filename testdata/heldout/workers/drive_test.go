package workers

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Each case is run in a process of its own, under the race detector: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	var many []string
	for i := range 60 {
		many = append(many, "key"+strconv.Itoa(i)+" common words")
	}
	interrupt := func() {
		syscall.Kill(os.Getpid(), syscall.SIGINT)
		time.Sleep(100 * time.Microsecond)
	}
	print := func(string, int) {}
	for name, run := range map[string]func(){
		"RacyPool":           func() { RacyPool(many) },
		"CorrectPool":        func() { CorrectPool(many) },
		"RacyPipeline":       func() { RacyPipeline(many) },
		"CorrectPipeline":    func() { CorrectPipeline(many) },
		"RacyTimers":         func() { RacyTimers(many) },
		"CorrectTimers":      func() { CorrectTimers(many) },
		"RacyTally":          func() { RacyTally(many) },
		"CorrectTally":       func() { CorrectTally(many) },
		"RacyGroup":          func() { RacyGroup(many) },
		"CorrectGroup":       func() { CorrectGroup(many) },
		"RacyDump":           func() { RacyDump(50, interrupt, print) },
		"CorrectDump":        func() { CorrectDump(50, interrupt, print) },
		"RacyEarlyResult":    func() { RacyEarlyResult(60) },
		"CorrectResult":      func() { CorrectResult(60) },
		"RacySemaphore":      func() { RacySemaphore(many) },
		"CorrectSemaphore":   func() { CorrectSemaphore(many) },
		"RacyFlag":           func() { RacyFlag(60) },
		"CorrectPublished":   func() { CorrectPublished(many) },
		"CorrectCondition":   func() { CorrectCondition(60) },
		"RacyMethodValue":    func() { (&RacyMethodValue{words: map[string]int{}}).Feed(many) },
		"CorrectMethodValue": func() { (&CorrectMethodValue{words: map[string]int{}}).Feed(many) },
	} {
		t.Run(name, func(*testing.T) { run() })
	}
}
