package guarded

import (
	"sync"
	"testing"
)

// Each case is run in a process of its own, as in -test.run 'TestCase/RacyLoop$', under the race detector
// and in mode hunt: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	for name, run := range map[string]func(){

		"RacyGet": func() {
			c := &RacyGet{m: map[string]int{}}
			twice(100, func(i int) { c.Set("k", i) }, func(i int) { c.Get("k") })
		},
		"CorrectGet": func() {
			c := &CorrectGet{m: map[string]int{}}
			twice(100, func(i int) { c.Set("k", i); c.Drop("x") }, func(i int) { c.Get("k") })
		},
		"RacyDelete": func() {
			c := &RacyDelete{peers: map[int]string{}}
			twice(100, func(i int) { c.Add(i, "n"); c.Name(i) }, func(i int) { c.Remove(i) })
		},
		"CorrectHelper": func() {
			c := &CorrectHelper{peers: map[int]string{}}
			twice(100, func(i int) { c.Add(i, "n") }, func(i int) { c.Swap(i, i+1) })
		},
		"RacyReadLock": func() {
			c := &RacyReadLock{hits: map[string]int{}}
			twice(100, func(i int) { c.Hit("a") }, func(i int) { c.Hit("b") })
		},
		"CorrectUpgrade": func() {
			c := &CorrectUpgrade{hits: map[string]int{}}
			twice(100, func(i int) { c.Hit("a") }, func(i int) { c.Hit("b") })
		},
		"RacyTwoLocks": func() {
			c := &RacyTwoLocks{m: map[int]int{}}
			twice(100, func(i int) { c.Read(i) }, func(i int) { c.Write(i, i) })
		},
		"CorrectTwoMaps": func() {
			c := &CorrectTwoMaps{a: map[int]int{}, b: map[int]int{}}
			twice(100, func(i int) { c.A(i, i) }, func(i int) { c.B(i, i) })
		},
		"RacyCopiedLock": func() {
			c := RacyCopiedLock{m: map[string]int{}}
			twice(100, func(i int) { c.Set("a", i) }, func(i int) { c.Set("b", i) })
		},
		"CorrectPointerLock": func() {
			c := CorrectPointerLock{mu: &sync.Mutex{}, m: map[string]int{}}
			twice(100, func(i int) { c.Set("a", i) }, func(i int) { c.Set("b", i) })
		},
		"RacyUnlockEarly": func() {
			c := &RacyUnlockEarly{m: map[string]int{}}
			twice(100, func(i int) { c.Inc("a") }, func(i int) { c.Inc("b") })
		},
		"CorrectUnlockEarly": func() {
			c := &CorrectUnlockEarly{m: map[string]int{}}
			twice(100, func(i int) { c.Inc("a") }, func(i int) { c.Inc("b") })
		},
		"RacyOnePath": func() {
			c := &RacyOnePath{index: map[string][]string{}}
			twice(100, func(i int) { c.Find("a", true) }, func(i int) { c.Find("a", false) })
		},
		"CorrectTryLock": func() {
			c := &CorrectTryLock{index: map[string]int{}}
			twice(100, func(i int) { c.Bump("a") }, func(i int) { c.Bump("b") })
		},
		"RacySnapshot": func() {
			c := &RacySnapshot{m: map[string]int{}}
			twice(100, func(i int) { c.Add("a", i) }, func(i int) { c.Sum() })
		},
		"CorrectSnapshot": func() {
			c := &CorrectSnapshot{m: map[string]int{}}
			twice(100, func(i int) { c.Add("a", i) }, func(i int) { c.Sum() })
		},
		"CorrectDrain": func() {
			c := &CorrectDrain{pending: map[string]int{}}
			twice(100, func(i int) { c.Add("a") }, func(i int) { c.Flush() })
		},
		"CorrectCopyOnWrite": func() {
			c := &CorrectCopyOnWrite{}
			twice(100, func(i int) { c.Set("a", i) }, func(i int) { c.Get("a") })
		},
		"CorrectRelock": func() {
			c := &CorrectRelock{subs: map[int]func(){0: func() {}, 1: func() {}}}
			twice(100, func(i int) { c.Subscribe(i%5, func() {}) }, func(i int) { c.Notify() })
		},
		"CorrectLoopUnlock": func() {
			c := &CorrectLoopUnlock{subs: map[int]func(){}}
			twice(100, func(i int) { c.Subscribe(i%5, func() {}) }, func(i int) { c.Notify() })
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
