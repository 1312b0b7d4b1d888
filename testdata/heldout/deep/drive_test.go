package deep

import (
	"strconv"
	"sync"
	"testing"
)

// Each case is run in a process of its own, under the race detector: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	var names []string
	for i := range 50 {
		names = append(names, strconv.Itoa(i))
	}
	for name, run := range map[string]func(){
		"RacyTenants": func() {
			c := NewRacyTenants()
			both(func(int) { c.Charge("a", "cpu", 1) }, func(int) { c.Charge("a", "disk", 1) })
		},
		"CorrectTenants": func() {
			c := NewCorrectTenants()
			both(func(int) { c.Charge("a", "cpu", 1) }, func(int) { c.Charge("a", "disk", 1) })
		},
		"RacyGroups": func() {
			c := &RacyGroups{}
			both(func(i int) { c.Join("g", names[i]) }, func(i int) { c.Join("g", names[i]) })
		},
		"CorrectGroups": func() {
			c := &CorrectGroups{}
			both(func(i int) { c.Join("g", names[i]) }, func(i int) { c.Join("g", names[i]) })
		},
		"RacySum": func() {
			c := &RacySum{}
			both(func(i int) { c.Set("p", names[i], i) }, func(int) { c.Sum() })
		},
		"CorrectSum": func() {
			c := &CorrectSum{}
			both(func(i int) { c.Set("p", names[i], i) }, func(int) { c.Sum() })
		},
		"RacyPayload":    func() { RacyPayload(1000) },
		"CorrectPayload": func() { CorrectPayload(1000) },
		"RacyReturned": func() {
			c := &RacyReturned{flags: map[string]bool{}}
			for _, name := range names {
				count := c.CountLater()
				c.Set(name)
				c.Set(name + "again")
				<-count
			}
		},
		"CorrectReturned": func() {
			c := &CorrectReturned{flags: map[string]bool{}}
			for _, name := range names {
				count := c.CountLater()
				c.Set(name)
				<-count
			}
		},
		"RacyPointer":    func() { RacyPointer(1000) },
		"CorrectPointer": func() { CorrectPointer(1000) },
		"RacyOptions":    func() { RacyOptions(names) },
		"CorrectOptions": func() { CorrectOptions(names) },
		"RacyBuckets":    func() { RacyBuckets(50) },
		"CorrectBuckets": func() { CorrectBuckets(50) },
		"RacySet":        func() { RacySet(50) },
		"CorrectSet":     func() { CorrectSet(50) },
	} {
		t.Run(name, func(*testing.T) { run() })
	}
}

// both runs two functions at the same time, often.
func both(one, other func(int)) {
	var wg sync.WaitGroup
	for _, f := range []func(int){one, other} {
		wg.Go(func() {
			for i := range 50 {
				f(i)
			}
		})
	}
	wg.Wait()
}
