package readers

import (
	"testing"
)

// Each case is run in a process of its own, as in -test.run 'TestCase/RacyLoop$', under the race detector
// and in mode hunt: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	for name, run := range map[string]func(){

		"RacyMarshal": func() {
			c := &RacyMarshal{stats: map[string]int{}}
			twice(100, func(i int) { c.Inc("a") }, func(i int) { _, _ = c.JSON() })
		},
		"CorrectMarshal": func() {
			c := &CorrectMarshal{stats: map[string]int{}}
			twice(100, func(i int) { c.Inc("a") }, func(i int) { _, _ = c.JSON() })
		},
		"RacyPrint": func() {
			for range 20 {
				RacyPrint()
			}
		}, "CorrectPrint": func() { CorrectPrint() },
		"RacyTemplate": func() {
			for range 20 {
				_ = RacyTemplate()
			}
		}, "CorrectTemplate": func() { _ = CorrectTemplate() },
		"RacySetMapIndex": func() { RacySetMapIndex() }, "CorrectSetMapIndex": func() { CorrectSetMapIndex() },
		"RacyMapRange": func() {
			for range 20 {
				RacyMapRange(map[string]int{"a": 1})
			}
		},
		"RacyClone": func() {
			// The race detector does not look inside maps.Clone: the runtime's own check must.
			c := &RacyClone{m: map[string]int{}}
			key := func(i int) string { return string(rune(i % 500)) }
			twice(20000, func(i int) { c.Set(key(i)) }, func(i int) { c.All() })
		},
		"CorrectClone": func() {
			c := &CorrectClone{m: map[string]int{}}
			twice(100, func(i int) { c.Set("a") }, func(i int) { c.All() })
		},
		"RacyCopy": func() { RacyCopy([]map[string]int{{"a": 1}, {"b": 2}, {"c": 3}}) }, "CorrectCopy": func() { CorrectCopy([]map[string]int{{"a": 1}, {"b": 2}}) },
		"RacyUnmarshal": func() { RacyUnmarshal([]string{`{"a": 1}`, `{"b": 2}`, `{"c": 3}`}) }, "CorrectUnmarshal": func() { CorrectUnmarshal([]string{`{"a": 1}`}) },
		"RacyAny": func() { RacyAny() }, "CorrectAny": func() { CorrectAny() },
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
