// Package captured has maps that closures take along into goroutines.
package captured

import (
	"context"
	"sync"
	"time"
)

//gocc:racy RacyLoop: goroutines of a loop write one local map
func RacyLoop() int {
	seen := map[int]bool{}
	var wg sync.WaitGroup
	for i := 0; i < 8; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			seen[i] = true
		}()
	}
	wg.Wait()
	return len(seen)
}

//gocc:correct CorrectLoop: the same under a mutex
func CorrectLoop() int {
	seen := map[int]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := 0; i < 8; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			mu.Lock()
			defer mu.Unlock()
			seen[i] = true
		}()
	}
	wg.Wait()
	return len(seen)
}

//gocc:racy RacyParent: the parent writes while the goroutine reads
func RacyParent() int {
	m := make(map[string]int)
	done := make(chan int)
	go func() {
		n := 0
		for i := 0; i < 100; i++ {
			n += m["a"]
		}
		done <- n
	}()
	for i := 0; i < 100; i++ {
		m["a"] = i
	}
	return <-done
}

//gocc:correct CorrectParent: the parent waits before it reads
func CorrectParent() int {
	m := make(map[string]int)
	done := make(chan struct{})
	go func() {
		m["a"] = 1
		close(done)
	}()
	<-done
	return m["a"]
}

//gocc:racy RacyWaitTooLate: the result is read before the WaitGroup is waited for
func RacyWaitTooLate() int {
	m := map[string]int{}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		m["x"] = 1
	}()
	n := m["x"]
	wg.Wait()
	return n
}

//gocc:correct CorrectWait: and here after it
func CorrectWait() int {
	m := map[string]int{}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		m["x"] = 1
	}()
	wg.Wait()
	return m["x"]
}

//gocc:racy RacyWaitGroupGo: WaitGroup.Go starts goroutines, too
func RacyWaitGroupGo(keys []string) map[string]int {
	lengths := make(map[string]int, len(keys))
	var wg sync.WaitGroup
	for _, key := range keys {
		wg.Go(func() {
			lengths[key] = len(key)
		})
	}
	wg.Wait()
	return lengths
}

//gocc:correct CorrectWaitGroupGo: each goroutine has an element of a slice, the map is filled afterwards
func CorrectWaitGroupGo(keys []string) map[string]int {
	lengths := make([]int, len(keys))
	var wg sync.WaitGroup
	for i, key := range keys {
		wg.Go(func() { lengths[i] = len(key) })
	}
	wg.Wait()
	out := make(map[string]int, len(keys))
	for i, key := range keys {
		out[key] = lengths[i]
	}
	return out
}

//gocc:racy RacyAfterFunc: a timer's function runs in a goroutine of its own
func RacyAfterFunc() int {
	pending := map[string]int{"a": 1}
	fired := make(chan struct{})
	time.AfterFunc(time.Microsecond, func() {
		delete(pending, "a")
		close(fired)
	})
	for i := 0; i < 1000; i++ {
		pending["b"] = i
	}
	<-fired
	return len(pending)
}

//gocc:correct CorrectAfterFunc: the map is only used after it fired
func CorrectAfterFunc() int {
	pending := map[string]int{"a": 1}
	fired := make(chan struct{})
	time.AfterFunc(time.Microsecond, func() {
		delete(pending, "a")
		close(fired)
	})
	<-fired
	pending["b"] = 1
	return len(pending)
}

//gocc:racy RacySleep: sleeping is no synchronisation
func RacySleep() int {
	m := map[int]int{}
	go func() {
		m[1] = 1
	}()
	time.Sleep(2 * time.Millisecond)
	return m[1]
}

//gocc:correct CorrectOwnMap: each goroutine makes a map of its own
func CorrectOwnMap() int {
	results := make(chan map[int]int)
	for i := 0; i < 4; i++ {
		go func() {
			own := map[int]int{}
			for k := 0; k < 10; k++ {
				own[k] = i
			}
			results <- own
		}()
	}
	n := 0
	for i := 0; i < 4; i++ {
		n += len(<-results)
	}
	return n
}

//gocc:racy RacyNamedFunc: the literal has a name first
func RacyNamedFunc() int {
	counts := map[string]int{}
	var wg sync.WaitGroup
	count := func(word string) {
		defer wg.Done()
		counts[word]++
	}
	wg.Add(2)
	go count("a")
	go count("b")
	wg.Wait()
	return len(counts)
}

//gocc:correct CorrectOneWriter: one goroutine writes, nobody else looks before it is done
func CorrectOneWriter(ctx context.Context) int {
	counts := map[string]int{}
	done := make(chan error, 1)
	go func() {
		for _, word := range []string{"a", "b", "a"} {
			counts[word]++
		}
		done <- ctx.Err()
	}()
	if err := <-done; err != nil {
		return 0
	}
	return counts["a"]
}

//gocc:racy RacyTimeout: after the timeout the goroutine still writes
func RacyTimeout() int {
	found := map[int]int{}
	done := make(chan struct{})
	go func() {
		for i := 0; i < 2000; i++ {
			found[i%7] = i
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Microsecond):
	}
	n := found[1]
	<-done
	return n
}

//gocc:correct CorrectRounds: a map for each round, handed to its goroutine
func CorrectRounds() {
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		round := map[int]int{}
		round[0] = i
		wg.Add(1)
		go func(m map[int]int) {
			defer wg.Done()
			m[1] = i
		}(round)
	}
	wg.Wait()
}
