package nested

import (
	"testing"
)

// Each case is run in a process of its own, as in -test.run 'TestCase/RacyLoop$', under the race detector
// and in mode hunt: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	for name, run := range map[string]func(){

		"RacyInner": func() {
			c := &RacyInner{users: map[string]map[string]int{}}
			c.AddUser("u")
			twice(100, func(i int) { c.Bump("u", "a") }, func(i int) { c.Bump("u", "b") })
		},
		"CorrectInner": func() {
			c := &CorrectInner{users: map[string]map[string]int{}}
			twice(100, func(i int) { c.Bump("u", "a") }, func(i int) { c.Bump("u", "b") })
		},
		"RacyShard": func() { RacyShard(8) }, "CorrectShards": func() { CorrectShards(8) },
		"CorrectShardLocks": func() { c := &CorrectShardLocks{}; twice(100, func(i int) { c.Add(i) }, func(i int) { c.Add(i) }) },
		"RacySession": func() {
			c := &RacySession{sessions: map[string]*session{}}
			twice(100, func(i int) { c.Set("s", "a", "b") }, func(i int) { c.Set("s", "c", "d") })
		},
		"CorrectSession": func() {
			c := &CorrectSession{sessions: map[string]*lockedSession{}}
			twice(100, func(i int) { c.Set("s", "a", "b") }, func(i int) { c.Set("s", "c", "d") })
		},
		"RacyReturnedInner": func() {
			c := &RacyReturnedInner{rooms: map[string]map[string]bool{}}
			twice(100, func(i int) { c.Join("r", "a") }, func(i int) { c.Join("r", "b") })
		},
		"CorrectReturnedCopy": func() {
			c := &CorrectReturnedCopy{rooms: map[string]map[string]bool{}}
			twice(100, func(i int) { c.Join("r", "a") }, func(i int) { c.Members("r") })
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
