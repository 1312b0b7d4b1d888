// Package maps has races that a sync.Map removes, and such that it does not: what gocc scan --prefer sync.Map
// must say is before each.
package maps

import (
	"errors"
	"strconv"
	"sync"
)

// many runs a function in goroutines.
func many(times int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range times {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

//gocc:fix switch to sync.Map, sizes in 3 places
func Sizes() (total int64) {
	const limit = 40
	sizes := map[string]int64{"first": 7}
	many(4, func(i int) { sizes[strconv.Itoa(i)] = limit })
	many(1, func(int) { sizes["last"] = 'a' })
	for _, size := range sizes {
		if size > 1000 {
			return -1
		}
		total += size
	}
	return total
}

//gocc:fix switch to sync.Map, faults in 5 places
func Faults() (first, none error, known bool) {
	faults := make(map[int]error)
	many(4, func(i int) { faults[i] = errors.New("fault") })
	many(1, func(int) { faults[9] = nil })
	first = faults[1]
	absent, ok := faults[9]
	none, known = absent, ok
	if _, found := faults[10]; found {
		known = false
	}
	return first, none, known
}

//gocc:fix switch to sync.Map, jobs in 3 places
type queue struct {
	jobs map[int]string
	name string
}

func newQueue() *queue { return &queue{jobs: map[int]string{}, name: "q"} }

func (q *queue) put(id int, job string) { q.jobs[id] = job }

func (q *queue) take(id int) (string, bool) {
	job, ok := q.jobs[id]
	delete(q.jobs, id)
	return job, ok
}

func Queue() (taken int) {
	q := newQueue()
	many(4, func(i int) { q.put(i, q.name) })
	var mu sync.Mutex
	many(8, func(i int) {
		if job, ok := q.take(i % 4); ok && job == "q" {
			mu.Lock()
			taken++
			mu.Unlock()
		}
	})
	return taken
}

//gocc:fix switch to sync.Map, pools in 2 places
func Pools() int {
	pools := map[string]*sync.Pool{}
	many(4, func(int) {
		pool, ok := pools["a"]
		if !ok {
			pool = &sync.Pool{}
			pools["a"] = pool
		}
		pool.Put(1)
	})
	return 1
}

//gocc:fix switch to sync.Map, marks in 2 places
func Marks() (first int) {
	marks := map[string]bool{}
	var mu sync.Mutex
	many(8, func(int) {
		if !marks["a"] {
			marks["a"] = true
			mu.Lock()
			first++
			mu.Unlock()
		}
	})
	return first
}

//gocc:fix guard a local variable with a new lock, lengthMu in 2 places (no sync.Map: its length is asked for
func Length() int {
	length := map[int]int{}
	many(4, func(i int) { length[i] = i })
	return len(length)
}

//gocc:fix guard a local variable with a new lock, countsMu in 1 places (no sync.Map: an element is computed from its old value
func Count() {
	counts := map[string]int{}
	many(4, func(int) { counts["a"]++ })
}

//gocc:fix guard a local variable with a new lock, groupsMu in 2 places (no sync.Map: an element is computed from its old value
func Groups() {
	groups := map[string][]int{}
	many(4, func(i int) { groups["a"] = append(groups["a"], i) })
}

//gocc:fix guard a local variable with a new lock, roomsMu in 3 places (no sync.Map: its values are maps
func Rooms() {
	rooms := map[string]map[int]bool{}
	many(4, func(i int) {
		if rooms["a"] == nil {
			rooms["a"] = map[int]bool{}
		}
		rooms["a"][i] = true
	})
}

//gocc:fix guard a local variable with a new lock, levelsMu in 2 places (no sync.Map: one function reads and then writes it
func Levels() {
	levels := map[string]int{}
	many(4, func(i int) {
		level := levels["a"]
		if level < i {
			levels["a"] = i
		}
	})
}

//gocc:fix take the lock that other uses take, agesMu in 1 places (no sync.Map: a lock is held at some of its uses
func Ages() {
	var agesMu sync.Mutex
	ages := map[string]int{}
	many(2, func(i int) {
		agesMu.Lock()
		ages["a"] = i
		agesMu.Unlock()
	})
	many(2, func(i int) { ages["b"] = i })
}
