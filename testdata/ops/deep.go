package main

import "sync"

// Map operations at many stack depths of fresh goroutines, so that for some of them the goroutine's
// stack has to grow exactly at the entry of the map function. The function is then entered twice, and
// still it is one operation.

//go:noinline
func deepen(depth int, f func(int) int) int {
	if depth == 0 {
		return f(depth)
	}
	return deepen(depth-1, f) + 1
}

var (
	deepMutex sync.Mutex
	deepMap   map[string]int
	deepAny   map[any]int
)

//go:noinline
func opDeepAssign(i int) int {
	deepMap["deep"] = i
	return 0
}

//go:noinline
func opDeepRead(i int) int { return deepMap["deep"] }

//go:noinline
func opDeepGeneric(i int) int {
	deepAny["deep"] = i
	v := deepAny["deep"]
	delete(deepAny, "deep")
	return v
}

//go:noinline
func opDeepDelete(i int) int {
	delete(deepMap, "deep")
	return 0
}

//go:noinline
func opDeepRange(i int) (sum int) {
	for _, v := range deepMap {
		sum += v
	}
	return sum
}

const deepest = 400

func deepSections() {
	deepMap, deepAny = map[string]int{"other": 1}, map[any]int{}
	expect("deepSections", "assign", 1)
	functions := []func(int) int{opDeepAssign, opDeepRead, opDeepRange, opDeepDelete, opDeepGeneric}
	for depth := 0; depth < deepest; depth++ {
		for _, f := range functions {
			done := make(chan int)
			go func(depth int, f func(int) int) {
				deepMutex.Lock()
				defer deepMutex.Unlock()
				done <- deepen(depth, f)
			}(depth, f)
			mix(uint64(<-done))
		}
	}
	expect("opDeepAssign", "assign", deepest)
	expect("opDeepRead", "read", deepest)
	expect("opDeepDelete", "delete", deepest)
	expect("opDeepRange", "iterate", 3*deepest) // "other" and "deep", and the end
	expect("opDeepGeneric", "assign", deepest)
	expect("opDeepGeneric", "read", deepest)
	expect("opDeepGeneric", "delete", deepest)
}

const workers = 8

// Many goroutines at once, each with a map of its own: the lanes of all Ps.
//
//go:noinline
func opWorker(m map[int]int, rounds int) (sum int) {
	for i := 0; i < rounds; i++ {
		m[i%64] = i
		sum += m[(i+1)%64]
	}
	return sum
}

//go:noinline
func opGoDelete(m map[string]int) {
	var started sync.WaitGroup
	started.Add(1)
	go func() {
		defer started.Done()
		defer delete(m, "gone")
	}()
	started.Wait()
}

func goroutineSections() {
	rounds := 200 * n
	var all sync.WaitGroup
	var mutex sync.Mutex
	total := 0
	for w := 0; w < workers; w++ {
		all.Add(1)
		go func() {
			defer all.Done()
			m := map[int]int{}
			mutex.Lock()
			generics = append(generics, m)
			mutex.Unlock()
			sum := opWorker(m, rounds)
			mutex.Lock()
			total += sum
			mutex.Unlock()
		}()
	}
	all.Wait()
	mix(uint64(total))
	expect("opWorker", "assign", workers*rounds)
	expect("opWorker", "read", workers*rounds)
	opGoDelete(deepMap)
	expect("opGoDelete", "delete", 1)
}
