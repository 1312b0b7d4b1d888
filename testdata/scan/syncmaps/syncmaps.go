// Package syncmaps has maps inside sync.Map, and sync.Map itself.
package syncmaps

import "sync"

//gocc:racy RacyValue: the map that was loaded is written
type RacyValue struct {
	users sync.Map
}

func (r *RacyValue) Bump(user, key string) {
	v, _ := r.users.LoadOrStore(user, map[string]int{})
	v.(map[string]int)[key]++
}

//gocc:correct CorrectValue: a new map replaces the old one
type CorrectValue struct {
	users sync.Map
}

func (c *CorrectValue) Set(user, key string) {
	next := map[string]int{}
	if old, ok := c.users.Load(user); ok {
		for k, v := range old.(map[string]int) {
			next[k] = v
		}
	}
	next[key] = 1
	c.users.Store(user, next)
}

//gocc:racy RacyStored: the writer goes on writing after Store
func RacyStored() int {
	var shared sync.Map
	own := map[string]int{}
	shared.Store("k", own)
	done := make(chan int)
	go func() {
		v, _ := shared.Load("k")
		n := 0
		for range v.(map[string]int) {
			n++
		}
		done <- n
	}()
	for i := 0; i < 100; i++ {
		own["late"] = i
	}
	return <-done
}

//gocc:correct CorrectStored: nothing is written after Store
func CorrectStored() int {
	var shared sync.Map
	own := map[string]int{"a": 1}
	own["b"] = 2
	shared.Store("k", own)
	done := make(chan int)
	go func() {
		v, _ := shared.Load("k")
		done <- v.(map[string]int)["b"]
	}()
	return <-done
}

//gocc:racy RacyRange: Range hands out maps that are changed
func RacyRange(all *sync.Map) {
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			all.Range(func(_, v any) bool {
				v.(map[string]int)["seen"] = i
				return true
			})
		}()
	}
	wg.Wait()
}

//gocc:correct CorrectPlain: a sync.Map of numbers
func CorrectPlain() int {
	var m sync.Map
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			m.Store(i, i)
		}()
	}
	wg.Wait()
	n := 0
	m.Range(func(_, v any) bool {
		n += v.(int)
		return true
	})
	return n
}

//gocc:racy RacyPool: the map goes on being used after it was put back
func RacyPool() {
	pool := sync.Pool{New: func() any { return map[string]int{} }}
	shared := pool.Get().(map[string]int)
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			shared["k"] = i
		}()
	}
	wg.Wait()
	pool.Put(shared)
}

//gocc:correct CorrectPool: each goroutine gets a map and puts it back
func CorrectPool() {
	pool := sync.Pool{New: func() any { return map[string]int{} }}
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			m := pool.Get().(map[string]int)
			m["k"] = i
			clear(m)
			pool.Put(m)
		}()
	}
	wg.Wait()
}

//gocc:correct CorrectLocked: values with a lock of their own
type CorrectLocked struct {
	users sync.Map
}

type counter struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *CorrectLocked) Bump(user, key string) {
	v, _ := c.users.LoadOrStore(user, &counter{m: map[string]int{}})
	n := v.(*counter)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.m[key]++
}
