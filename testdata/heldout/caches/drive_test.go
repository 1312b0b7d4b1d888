package caches

import (
	"strconv"
	"sync"
	"testing"
)

// Each case is run in a process of its own, under the race detector: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	for name, run := range map[string]func(){
		"RacyPeek": func() {
			c := &RacyPeek{}
			both(func(i int) { c.Put("k", "v") }, func(i int) { c.Peek("k") })
		},
		"CorrectPeek": func() {
			c := &CorrectPeek{}
			both(func(i int) { c.Put("k", "v") }, func(i int) { c.Peek("k") })
		},
		"RacyFill": func() {
			c := NewRacyFill()
			both(func(i int) { c.Sum(i) }, func(i int) { c.Sum(i + 1) })
		},
		"CorrectFill": func() {
			c := NewCorrectFill()
			both(func(i int) { c.Sum(i) }, func(i int) { c.Sum(i + 1) })
		},
		"RacyCopied": func() {
			c := NewRacyCopied()
			both(func(int) { c.Hit("a") }, func(int) { c.Hit("b") })
		},
		"CorrectCopied": func() {
			c := NewCorrectCopied()
			both(func(int) { c.Hit("a") }, func(int) { c.Hit("b") })
		},
		"RacyTwoLocks": func() {
			c := &RacyTwoLocks{prices: map[string]float64{}}
			both(func(int) { c.Price("a") }, func(int) { c.Reprice("a", 1) })
		},
		"CorrectTwoMaps": func() {
			c := &CorrectTwoMaps{prices: map[string]float64{}, stock: map[string]int{}}
			both(func(int) { c.Sell("a") }, func(int) { c.Add("a", 1) })
		},
		"RacyHelper": func() {
			c := &RacyHelper{items: map[string]int{}}
			both(func(i int) { c.Add(strconv.Itoa(i)) }, func(int) { c.Shrink() })
		},
		"CorrectHelper": func() {
			c := &CorrectHelper{items: map[string]int{}}
			both(func(i int) { c.Add(strconv.Itoa(i)) }, func(int) { c.Shrink() })
		},
		"RacyUnlockedTooEarly": func() {
			c := &RacyUnlockedTooEarly{names: map[int]string{}}
			both(func(i int) { c.Name(i) }, func(i int) { c.Name(i) })
		},
		"CorrectUnlockedLate": func() {
			c := &CorrectUnlockedLate{names: map[int]string{}}
			both(func(i int) { c.Name(i) }, func(i int) { c.Name(i) })
		},
		"RacyMaybeLocked": func() {
			c := &RacyMaybeLocked{values: map[string]int{}}
			both(func(i int) { c.Set("a", i, false) }, func(int) { c.Get("a") })
		},
		"CorrectTryLock": func() {
			c := &CorrectTryLock{values: map[string]int{}}
			both(func(i int) { c.Set("a", i) }, func(int) { c.Get("a") })
		},
		"RacyInherited": func() {
			c := &RacyInherited{logs: map[int]string{}}
			for i := range 50 {
				c.Log(i, "line")
			}
			c.wg.Wait()
		},
		"CorrectInherited": func() {
			c := &CorrectInherited{logs: map[int]string{}}
			for i := range 50 {
				c.Log(i, "line")
			}
			c.wg.Wait()
		},
		"RacyLocalLock":    func() { RacyLocalLock(50) },
		"CorrectOuterLock": func() { CorrectOuterLock(50) },
		"RacyStripes": func() {
			c := NewRacyStripes()
			both(func(i int) { c.Add(uint32(i), 1) }, func(int) { c.Total() })
		},
		"CorrectStripes": func() {
			c := NewCorrectStripes()
			both(func(i int) { c.Add(uint32(i), 1) }, func(int) { c.Total() })
		},
	} {
		t.Run(name, func(*testing.T) { run() })
	}
}

// both runs two functions at the same time, often.
func both(one, other func(int)) {
	var wg sync.WaitGroup
	for _, f := range []func(int){one, other} {
		wg.Go(func() {
			for i := range 100 {
				f(i)
			}
		})
	}
	wg.Wait()
}
