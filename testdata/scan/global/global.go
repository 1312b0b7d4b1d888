// Package global has maps in package variables.
package global

import (
	"sync"
	"sync/atomic"
)

//gocc:racy RacyCount: goroutines count in a package variable
func RacyCount(words []string) {
	var wg sync.WaitGroup
	for _, w := range words {
		wg.Add(1)
		go countWord(w, &wg)
	}
	wg.Wait()
}

var wordCounts = map[string]int{}

func countWord(w string, wg *sync.WaitGroup) {
	defer wg.Done()
	wordCounts[w]++
}

//gocc:correct CorrectCount: under the lock beside it
func CorrectCount(words []string) {
	var wg sync.WaitGroup
	for _, w := range words {
		wg.Add(1)
		go safeCount(w, &wg)
	}
	wg.Wait()
}

var (
	safeMu     sync.Mutex
	safeCounts = map[string]int{}
)

func safeCount(w string, wg *sync.WaitGroup) {
	defer wg.Done()
	safeMu.Lock()
	safeCounts[w]++
	safeMu.Unlock()
}

//gocc:racy RacyLazy: a cache that every caller fills, found under no lock
func RacyLazy(key string) int {
	if v, ok := lazy[key]; ok {
		return v
	}
	lazyMu.Lock()
	defer lazyMu.Unlock()
	lazy[key] = len(key)
	return lazy[key]
}

var (
	lazyMu sync.Mutex
	lazy   = map[string]int{}
)

//gocc:correct CorrectLazy: looked at and filled under one lock
func CorrectLazy(key string) int {
	eagerMu.Lock()
	defer eagerMu.Unlock()
	if v, ok := eager[key]; ok {
		return v
	}
	eager[key] = len(key)
	return eager[key]
}

var (
	eagerMu sync.Mutex
	eager   = map[string]int{}
)

//gocc:correct CorrectTable: a table that nobody changes
func CorrectTable(names []string) int {
	var total atomic.Int64
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Add(1)
		go func() {
			defer wg.Done()
			total.Add(int64(table[name]))
		}()
	}
	wg.Wait()
	return int(total.Load())
}

var table = map[string]int{"one": 1, "two": 2}

//gocc:correct CorrectInit: filled by init, read afterwards
func CorrectInit(names []string) int {
	results := make(chan int)
	for _, name := range names {
		go func() { results <- registry[name] }()
	}
	n := 0
	for range names {
		n += <-results
	}
	return n
}

var registry map[string]int

func init() {
	registry = map[string]int{}
	for i, name := range []string{"one", "two"} {
		registry[name] = i
	}
}

//gocc:racy RacyReload: readers take what the reloading goroutine changes in place
func RacyReload(done chan struct{}) int {
	go reload(done)
	n := 0
	for i := 0; i < 100; i++ {
		n += settings["level"]
	}
	<-done
	return n
}

var settings = map[string]int{"level": 0}

func reload(done chan struct{}) {
	for i := 0; i < 100; i++ {
		settings["level"] = i
	}
	close(done)
}

//gocc:correct CorrectReload: a new map is stored, the old one never changes
func CorrectReload() int {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < 100; i++ {
			next := map[string]int{"level": i}
			current.Store(&next)
		}
	}()
	n := 0
	for i := 0; i < 100; i++ {
		if m := current.Load(); m != nil {
			n += (*m)["level"]
		}
	}
	<-done
	return n
}

var current atomic.Pointer[map[string]int]

//gocc:racy RacyOnceOnly: the first fill happens once, the later writes do not
func RacyOnceOnly(key string) int {
	fillOnce.Do(func() { filled = map[string]int{} })
	filled[key]++
	return filled[key]
}

var (
	fillOnce sync.Once
	filled   map[string]int
)

//gocc:correct CorrectOnce: filled once, then only read
func CorrectOnce(key string) int {
	loadOnce.Do(func() {
		loaded = map[string]int{}
		loaded["a"] = 1
	})
	return loaded[key]
}

var (
	loadOnce sync.Once
	loaded   map[string]int
)

//gocc:racy RacyInitOnDemand: two goroutines may fill the table at the same time
func RacyInitOnDemand() {
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if demand["ready"] == 0 {
				fillDemand()
			}
		}()
	}
	wg.Wait()
}

var demand = map[string]int{}

func fillDemand() {
	for _, k := range []string{"ready", "set"} {
		demand[k] = 1
	}
}

//gocc:correct CorrectFlag: a flag says that the table is complete
func CorrectFlag() int {
	flagged := map[string]int{}
	var ready atomic.Bool
	go func() {
		flagged["a"] = 1
		ready.Store(true)
	}()
	for !ready.Load() {
	}
	return flagged["a"]
}
