package fields

import (
	"testing"
	"time"
)

// Each case is run in a process of its own, as in -test.run 'TestCase/RacyLoop$', under the race detector
// and in mode hunt: see scripts/scan-labelled.
func TestCase(t *testing.T) {
	for name, run := range map[string]func(){

		"RacyPoller": func() {
			p := NewRacyPoller()
			for range 100 {
				p.Get()
				time.Sleep(time.Microsecond)
			}
			p.Stop()
		},
		"CorrectPoller": func() {
			p := NewCorrectPoller()
			for range 100 {
				p.Get()
			}
			p.Stop()
		},
		"RacyJanitor": func() {
			j := NewRacyJanitor()
			for range 100 {
				j.Add("k")
				time.Sleep(10 * time.Microsecond)
			}
		},
		"CorrectJanitor": func() {
			j := NewCorrectJanitor()
			for range 100 {
				j.Add("k")
			}
		},
		"RacyCrawler": func() { (&RacyCrawler{}).Crawl([]string{"a", "b", "c"}) }, "CorrectCrawler": func() { (&CorrectCrawler{}).Crawl([]string{"a", "b", "c"}) },
		"RacyEmbedded": func() { TagAll(&RacyEmbedded{name: "n"}, []string{"a", "b", "c"}) },
		"CorrectOwner": func() { o := NewCorrectOwner(); twice(50, func(int) { o.Add("a") }, func(int) { o.Add("b") }) },
		"RacyGeneric":  func() { FillRacyGeneric(8) }, "CorrectGeneric": func() { FillCorrectGeneric(8) },
		"RacyStats": func() {
			s := &RacyStats{counts: map[string]int{}}
			done := s.Run(1000)
			for range 100 {
				s.Snapshot()
			}
			<-done
		},
		"CorrectStats":      func() { (&CorrectStats{counts: map[string]int{}}).Run(100) },
		"RacyFunctionField": func() { NewRacyFunctionField().Fire([]string{"a", "b", "c"}) }, "CorrectInstances": func() { RunInstances(20) },
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
