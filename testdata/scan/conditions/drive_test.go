package conditions

import (
	"sync"
	"testing"
)

// Each case is run in a process of its own, as in -test.run 'TestCase/RacyNeedLock$', under the race detector:
// see scripts/scan-labelled.
func TestCase(t *testing.T) {
	words := []string{"x", "y"}
	for name, run := range map[string]func(){

		"CorrectNeedLock": func() {
			c := &CorrectNeedLock{m: map[string]int{}}
			twice(100, func(i int) { c.Set("k", i) }, func(i int) { c.Swap("k", "l") })
		},
		"RacyNeedLock": func() {
			c := &RacyNeedLock{m: map[string]int{}}
			twice(100, func(i int) { c.Set("k", i) }, func(i int) { c.Quick("k", i) })
		},
		"CorrectTwoQuestions": func() {
			c := &CorrectTwoQuestions{m: map[string]int{}}
			twice(100, func(i int) { c.Add(words, true) }, func(i int) { c.Add(words, i%2 == 0); c.Get("x") })
		},
		"RacyTwoQuestions": func() {
			c := &RacyTwoQuestions{m: map[string]int{}}
			twice(100, func(i int) { c.Add(words, true, false) }, func(i int) { c.Add(words, true, true); c.Get("x") })
		},
		"CorrectLocalLock": func() {
			c := &CorrectLocalLock{m: map[string]int{}}
			twice(100, func(i int) { c.Add("k") }, func(i int) { c.Both("k", "l") })
		},
		"RacyLocalLock": func() {
			c := &RacyLocalLock{m: map[string]int{}}
			twice(100, func(i int) { c.Add("k") }, func(i int) { c.Get("k") })
		},
		"CorrectRemembered": func() {
			c := &CorrectRemembered{m: map[string]int{}}
			twice(100, func(i int) { c.Add("x") }, func(i int) { c.Add("xy"); c.Get("x") })
		},
		"RacyRemembered": func() {
			c := &RacyRemembered{m: map[string]int{}}
			twice(100, func(i int) { c.Add("x") }, func(i int) { c.Add("y"); c.Get("x") })
		},
		"CorrectBegin": func() {
			c := &CorrectBegin{m: map[string]int{}}
			twice(100, func(i int) { c.Add("x") }, func(i int) { c.Add("y"); c.Get("x") })
			c.Close()
		},
		"RacyBegin": func() {
			c := &RacyBegin{m: map[string]int{}}
			c.Close()
			twice(100, func(i int) { c.Add("x") }, func(i int) { c.Add("y") })
		},
		"CorrectGivenAway": func() {
			for i := range 4 {
				c := &CorrectGivenAway{queue: make(chan map[string]int)}
				c.Work(i)
			}
		},
		"RacyGivenAway": func() {
			for range 100 {
				RacyGivenAway(1)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { run() })
	}
}

// Runs two functions n times in a goroutine each.
func twice(n int, a, b func(int)) {
	var wait sync.WaitGroup
	for _, run := range []func(int){a, b} {
		wait.Go(func() {
			for i := range n {
				run(i)
			}
		})
	}
	wait.Wait()
}
