// Package conditions has locks that are taken under a condition.
package conditions

import (
	"strings"
	"sync"
)

//gocc:correct CorrectNeedLock: whoever holds the lock says so
type CorrectNeedLock struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *CorrectNeedLock) store(k string, v int, needLock bool) {
	if needLock {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	c.m[k] = v
}

func (c *CorrectNeedLock) Set(k string, v int) { c.store(k, v, true) }

func (c *CorrectNeedLock) Swap(a, b string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store(a, c.m[b], false)
}

//gocc:racy RacyNeedLock: one caller says that it holds the lock, and does not
type RacyNeedLock struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *RacyNeedLock) store(k string, v int, needLock bool) {
	if needLock {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	c.m[k] = v
}

func (c *RacyNeedLock) Set(k string, v int) { c.store(k, v, true) }

func (c *RacyNeedLock) Quick(k string, v int) { c.store(k, v, false) }

//gocc:correct CorrectTwoQuestions: the same condition takes the lock, uses the map and releases the lock
type CorrectTwoQuestions struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *CorrectTwoQuestions) Add(words []string, count bool) {
	if count {
		c.mu.Lock()
	}
	for _, word := range words {
		if count {
			c.m[word]++
		}
	}
	if count {
		c.mu.Unlock()
	}
}

func (c *CorrectTwoQuestions) Get(word string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[word]
}

//gocc:racy RacyTwoQuestions: the condition under which the map is used is another one
type RacyTwoQuestions struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *RacyTwoQuestions) Add(words []string, count, report bool) {
	if report {
		c.mu.Lock()
	}
	for _, word := range words {
		if count {
			c.m[word]++
		}
	}
	if report {
		c.mu.Unlock()
	}
}

func (c *RacyTwoQuestions) Get(word string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[word]
}

//gocc:correct CorrectLocalLock: function literals take and release the lock if it is needed
type CorrectLocalLock struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *CorrectLocalLock) add(k string, locked bool) int {
	lock := func() {
		if !locked {
			c.mu.Lock()
		}
	}
	unlock := func() {
		if !locked {
			c.mu.Unlock()
		}
	}
	lock()
	if c.m[k] > 10 {
		unlock()
		return 0
	}
	c.m[k]++
	n := c.m[k]
	unlock()
	return n
}

func (c *CorrectLocalLock) Add(k string) int { return c.add(k, false) }

func (c *CorrectLocalLock) Both(a, b string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.add(a, true) + c.add(b, true)
}

//gocc:racy RacyLocalLock: the condition is turned round
type RacyLocalLock struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *RacyLocalLock) add(k string, needLock bool) int {
	lock := func() {
		if !needLock {
			c.mu.Lock()
		}
	}
	lock()
	c.m[k]++
	n := c.m[k]
	if !needLock {
		c.mu.Unlock()
	}
	return n
}

func (c *RacyLocalLock) Add(k string) int { return c.add(k, true) }

func (c *RacyLocalLock) Get(k string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[k]
}

//gocc:correct CorrectRemembered: a variable remembers that the lock was taken
type CorrectRemembered struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *CorrectRemembered) Add(k string) {
	locked := false
	if strings.HasPrefix(k, "x") {
		c.mu.Lock()
		locked = true
	}
	if locked {
		c.m[k]++
	}
	if locked {
		c.mu.Unlock()
	}
}

func (c *CorrectRemembered) Get(k string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[k]
}

//gocc:racy RacyRemembered: what the variable remembers is forgotten before the map is used
type RacyRemembered struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *RacyRemembered) Add(k string) {
	locked := false
	if strings.HasPrefix(k, "x") {
		c.mu.Lock()
		locked = true
	}
	if locked {
		c.mu.Unlock()
	}
	c.m[k]++
}

func (c *RacyRemembered) Get(k string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[k]
}

//gocc:correct CorrectBegin: a function says by its result whether it has taken the lock
type CorrectBegin struct {
	mu     sync.Mutex
	closed bool
	m      map[string]int
}

func (c *CorrectBegin) begin() bool {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	return true
}

func (c *CorrectBegin) Add(k string) {
	if !c.begin() {
		return
	}
	c.m[k]++
	c.mu.Unlock()
}

func (c *CorrectBegin) Get(k string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[k]
}

func (c *CorrectBegin) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

//gocc:racy RacyBegin: the map is used where the result says that the lock was not taken
type RacyBegin struct {
	mu     sync.Mutex
	closed bool
	m      map[string]int
}

func (c *RacyBegin) begin() bool {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	return true
}

func (c *RacyBegin) Add(k string) {
	if !c.begin() {
		c.m[k]++
		return
	}
	c.m[k]--
	c.mu.Unlock()
}

func (c *RacyBegin) Get(k string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[k]
}

func (c *RacyBegin) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

//gocc:correct CorrectGivenAway: whoever gives the map away does not use it any more
type CorrectGivenAway struct {
	queue chan map[string]int
	total int
}

func (c *CorrectGivenAway) Run() {
	for m := range c.queue {
		m["seen"] = 1
	}
}

func (c *CorrectGivenAway) Work(n int) {
	done := make(chan struct{})
	go func() {
		c.Run()
		close(done)
	}()
	m := map[string]int{}
	if n > 1 {
		c.queue <- m
		close(c.queue)
		<-done
		return
	}
	m["own"] = n
	c.total += m["own"]
	close(c.queue)
	<-done
}

//gocc:racy RacyGivenAway: one branch gives the map away, and so does the code after it
func RacyGivenAway(n int) {
	m := map[string]int{}
	if n > 1 {
		go fill(m)
		return
	}
	done := make(chan struct{})
	go func() {
		fill(m)
		close(done)
	}()
	m["own"] = n
	<-done
}

func fill(m map[string]int) { m["seen"] = 1 }
