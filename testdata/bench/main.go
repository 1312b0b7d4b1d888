// Bench times map operations: nanoseconds per operation, a line each. scripts/bench runs it unpatched and
// patched in turn and compares.
//
//gocc:go 1.18 1.27
//gocc:variants static race
package main

import (
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Many short rounds find the moments in which a busy machine leaves the CPU alone.
var (
	operations = flag.Int("operations", 2_000_000, "operations in a round")
	rounds     = flag.Int("rounds", 5, "rounds, the fastest of which counts")
	only       = flag.String("only", "", "measure only the line of this name")
)

var sink int

// kept keeps the maps off the goroutine's stack, where the hooks would take them for private.
var kept []interface{}

func measure(name string, run func(n int)) {
	measureBy(name, func(n int) time.Duration {
		start := time.Now()
		run(n)
		return time.Since(start)
	})
}

// measureBy prints the fastest of the rounds, since everything else on the machine only adds. What run returns
// is the time its operations took.
func measureBy(name string, run func(n int) time.Duration) {
	if *only != "" && *only != name {
		return
	}
	run(*operations / 10)
	best := 0.0
	for round := 0; round < *rounds; round++ {
		each := float64(run(*operations).Nanoseconds()) / float64(*operations)
		if round == 0 || each < best {
			best = each
		}
	}
	fmt.Printf("%s %.2f\n", name, best)
}

func filled(n int) map[int]int {
	m := map[int]int{}
	for i := 0; i < n; i++ {
		m[i] = i
	}
	kept = append(kept, m)
	return m
}

// inParallel lets two goroutines share the operations.
func inParallel(n int, run func(n int)) {
	var done sync.WaitGroup
	for g := 0; g < 2; g++ {
		done.Add(1)
		go func() {
			defer done.Done()
			run(n / 2)
		}()
	}
	done.Wait()
}

func reads() {
	small, large := filled(8), filled(1<<16)
	measure("read-8-keys", func(n int) {
		for i := 0; i < n; i++ {
			sink += small[i&7]
		}
	})
	measure("read-64k-keys", func(n int) {
		for i := 0; i < n; i++ {
			sink += large[(i*7919)&(1<<16-1)]
		}
	})
	elements := filled(10_000)
	measure("range-per-element", func(n int) {
		for done := 0; done < n; done += len(elements) {
			for _, value := range elements {
				sink += value
			}
		}
	})
}

func writes() {
	large := filled(1 << 16)
	measure("assign-64k-keys", func(n int) {
		for i := 0; i < n; i++ {
			large[(i*7919)&(1<<16-1)] = i
		}
	})
	measure("insert-delete", func(n int) {
		for i := 0; i < n; i += 2 {
			large[1<<20+i&15] = i
			delete(large, 1<<20+i&15)
		}
	})
}

func strings() {
	keys := make([]string, 1024)
	named := map[string]int{}
	kept = append(kept, named)
	for i := range keys {
		keys[i] = fmt.Sprintf("key-%d", i)
		named[keys[i]] = i
	}
	measure("read-string", func(n int) {
		for i := 0; i < n; i++ {
			sink += named[keys[i&1023]]
		}
	})
	measure("assign-string", func(n int) {
		for i := 0; i < n; i++ {
			named[keys[i&1023]] = i
		}
	})
}

func shared() {
	own := make(chan map[int]int, 2)
	own <- filled(64)
	// Two maps made one after the other share a cache line, and writes to both take turns for it, unpatched as well.
	for i := 0; i < 8; i++ {
		filled(64)
	}
	own <- filled(64)
	// Each goroutine's own time: whether the two get a CPU each is the machine's doing, and doubles the rest.
	measureBy("two-on-own-maps", func(n int) time.Duration {
		var took int64
		inParallel(n, func(n int) {
			own, back := <-own, own
			defer func() { back <- own }()
			start := time.Now()
			for i := 0; i < n; i++ {
				own[i&63] = i
			}
			atomic.AddInt64(&took, int64(time.Since(start)))
		})
		return time.Duration(took)
	})
	var lock sync.Mutex
	common := filled(64)
	measure("two-under-mutex", func(n int) {
		inParallel(n, func(n int) {
			for i := 0; i < n; i++ {
				lock.Lock()
				common[i&63] = i
				lock.Unlock()
			}
		})
	})
}

var made map[int]int

// makes is about the hook that notes where a map was made.
func makes() {
	measure("make-small", func(n int) {
		for i := 0; i < n; i++ {
			made = map[int]int{}
		}
	})
}

func main() {
	flag.Parse()
	reads()
	writes()
	strings()
	shared()
	makes()
}
