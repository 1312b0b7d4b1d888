// Package order has iterations, deletions and clears that meet other goroutines.
package order

import "sync"

//gocc:racy RacyRangeWrite: one goroutine ranges, another one inserts
func RacyRangeWrite() int {
	m := map[int]int{1: 1}
	done := make(chan int)
	go func() {
		n := 0
		for i := 0; i < 50; i++ {
			for k := range m {
				n += k
			}
		}
		done <- n
	}()
	for i := 0; i < 50; i++ {
		m[i] = i
	}
	return <-done
}

//gocc:correct CorrectRangeWrite: both under a lock
func CorrectRangeWrite() int {
	m := map[int]int{1: 1}
	var mu sync.RWMutex
	done := make(chan int)
	go func() {
		n := 0
		for i := 0; i < 50; i++ {
			mu.RLock()
			for k := range m {
				n += k
			}
			mu.RUnlock()
		}
		done <- n
	}()
	for i := 0; i < 50; i++ {
		mu.Lock()
		m[i] = i
		mu.Unlock()
	}
	return <-done
}

//gocc:racy RacyClear: clear while others read
func RacyClear() int {
	m := map[int]int{1: 1}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		clear(m)
	}()
	n := m[1]
	wg.Wait()
	return n
}

//gocc:correct CorrectClear: cleared before the goroutine starts
func CorrectClear() int {
	m := map[int]int{1: 1}
	clear(m)
	out := make(chan int)
	go func() { out <- m[1] }()
	return <-out + m[1]
}

//gocc:racy RacyAssignDelete: assigned and deleted in one function that runs twice
func RacyAssignDelete() {
	active := map[int]bool{}
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func(id int) {
			defer wg.Done()
			active[id] = true
			delete(active, id)
		}(i)
	}
	wg.Wait()
}

//gocc:correct CorrectAssignDelete: the same with the lock held for each step
func CorrectAssignDelete() {
	active := map[int]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func(id int) {
			defer wg.Done()
			mu.Lock()
			active[id] = true
			mu.Unlock()
			mu.Lock()
			delete(active, id)
			mu.Unlock()
		}(i)
	}
	wg.Wait()
}

//gocc:racy RacyCond: the condition is checked outside the lock
func RacyCond() int {
	var mu sync.Mutex
	cond := sync.NewCond(&mu)
	state := map[string]bool{}
	go func() {
		mu.Lock()
		state["ready"] = true
		mu.Unlock()
		cond.Broadcast()
	}()
	for i := 0; i < 100; i++ {
		if state["ready"] {
			return 1
		}
	}
	return 0
}

//gocc:correct CorrectCond: and here inside it
func CorrectCond() int {
	var mu sync.Mutex
	cond := sync.NewCond(&mu)
	state := map[string]bool{}
	go func() {
		cond.L.Lock()
		state["ready"] = true
		cond.L.Unlock()
		cond.Broadcast()
	}()
	mu.Lock()
	defer mu.Unlock()
	for !state["ready"] {
		cond.Wait()
	}
	return 1
}

//gocc:racy RacyNestedGo: a goroutine started by a goroutine outlives its starter
func RacyNestedGo() int {
	m := map[int]int{}
	inner := make(chan struct{})
	outer := make(chan struct{})
	go func() {
		defer close(outer)
		go func() {
			defer close(inner)
			for i := 0; i < 100; i++ {
				m[i] = i
			}
		}()
	}()
	<-outer
	n := m[1]
	<-inner
	return n
}

//gocc:correct CorrectPipeline: stages hand the map on
func CorrectPipeline() int {
	first := make(chan map[string]int)
	second := make(chan map[string]int)
	go func() {
		m := map[string]int{"a": 1}
		first <- m
	}()
	go func() {
		m := <-first
		m["b"] = 2
		second <- m
	}()
	m := <-second
	m["c"] = 3
	return len(m)
}

//gocc:racy RacyOtherLock: a lock made inside the goroutine protects nothing
func RacyOtherLock() int {
	m := map[int]int{}
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var mu sync.Mutex
			mu.Lock()
			m[i] = i
			mu.Unlock()
		}()
	}
	wg.Wait()
	return len(m)
}

//gocc:correct CorrectPhases: written by all in turn, one phase after the other
func CorrectPhases() int {
	m := map[int]int{}
	for i := 0; i < 4; i++ {
		done := make(chan struct{})
		go func() {
			m[i] = i
			close(done)
		}()
		<-done
	}
	return len(m)
}

//gocc:racy RacyReadersAndOne: many readers, one writer that none waits for
func RacyReadersAndOne() int {
	m := map[int]int{1: 1}
	var wg sync.WaitGroup
	out := make(chan int, 4)
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			out <- m[1]
		}()
	}
	m[1] = 2
	wg.Wait()
	return len(out)
}

//gocc:correct CorrectReadersOnly: many readers, the writer comes before and after
func CorrectReadersOnly() int {
	m := map[int]int{1: 1}
	m[2] = 2
	var wg sync.WaitGroup
	out := make(chan int, 4)
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			out <- m[1]
		}()
	}
	wg.Wait()
	m[1] = 2
	return len(out)
}
