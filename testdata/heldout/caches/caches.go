// Package caches has maps with locks beside them, used well and badly.
package caches

import (
	"strconv"
	"sync"
)

//gocc:racy RacyPeek: Peek trusts that a read does no harm
type RacyPeek struct {
	mu      sync.Mutex
	entries map[string]string
}

func (c *RacyPeek) Put(key, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[string]string)
	}
	c.entries[key] = value
}

func (c *RacyPeek) Peek(key string) (string, bool) {
	value, ok := c.entries[key]
	return value, ok
}

//gocc:correct CorrectPeek: Peek takes the lock too
type CorrectPeek struct {
	mu      sync.Mutex
	entries map[string]string
}

func (c *CorrectPeek) Put(key, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[string]string)
	}
	c.entries[key] = value
}

func (c *CorrectPeek) Peek(key string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok := c.entries[key]
	return value, ok
}

//gocc:racy RacyFill: a miss is filled under the read lock
type RacyFill struct {
	lock sync.RWMutex
	sums map[int]int
}

func NewRacyFill() *RacyFill { return &RacyFill{sums: map[int]int{}} }

func (c *RacyFill) Sum(n int) int {
	c.lock.RLock()
	defer c.lock.RUnlock()
	if sum, ok := c.sums[n]; ok {
		return sum
	}
	sum := n * (n + 1) / 2
	c.sums[n] = sum
	return sum
}

//gocc:correct CorrectFill: the lock is changed for a write lock before a miss is filled
type CorrectFill struct {
	lock sync.RWMutex
	sums map[int]int
}

func NewCorrectFill() *CorrectFill { return &CorrectFill{sums: map[int]int{}} }

func (c *CorrectFill) Sum(n int) int {
	c.lock.RLock()
	sum, ok := c.sums[n]
	c.lock.RUnlock()
	if ok {
		return sum
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if sum, ok := c.sums[n]; ok {
		return sum
	}
	sum = n * (n + 1) / 2
	c.sums[n] = sum
	return sum
}

//gocc:racy RacyCopied: the methods lock a copy
type RacyCopied struct {
	mu   sync.Mutex
	hits map[string]int
}

func NewRacyCopied() RacyCopied { return RacyCopied{hits: map[string]int{}} }

func (c RacyCopied) Hit(page string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hits[page]++
}

//gocc:correct CorrectCopied: the copy has a pointer to the lock
type CorrectCopied struct {
	mu   *sync.Mutex
	hits map[string]int
}

func NewCorrectCopied() CorrectCopied {
	return CorrectCopied{mu: new(sync.Mutex), hits: map[string]int{}}
}

func (c CorrectCopied) Hit(page string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hits[page]++
}

//gocc:racy RacyTwoLocks: readers have a lock, writers another one
type RacyTwoLocks struct {
	reading, writing sync.Mutex
	prices           map[string]float64
}

func (t *RacyTwoLocks) Price(item string) float64 {
	t.reading.Lock()
	defer t.reading.Unlock()
	return t.prices[item]
}

func (t *RacyTwoLocks) Reprice(item string, price float64) {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.prices[item] = price
}

//gocc:correct CorrectTwoMaps: two locks, one for each map
type CorrectTwoMaps struct {
	pricesMu sync.Mutex
	prices   map[string]float64
	stockMu  sync.Mutex
	stock    map[string]int
}

func (t *CorrectTwoMaps) Sell(item string) float64 {
	t.stockMu.Lock()
	t.stock[item]--
	t.stockMu.Unlock()
	t.pricesMu.Lock()
	defer t.pricesMu.Unlock()
	return t.prices[item]
}

func (t *CorrectTwoMaps) Add(item string, price float64) {
	t.pricesMu.Lock()
	t.prices[item] = price
	t.pricesMu.Unlock()
	t.stockMu.Lock()
	t.stock[item]++
	t.stockMu.Unlock()
}

//gocc:racy RacyHelper: one of the callers of evict has no lock
type RacyHelper struct {
	mu    sync.Mutex
	items map[string]int
}

func (h *RacyHelper) evict(most int) {
	for key := range h.items {
		if len(h.items) <= most {
			return
		}
		delete(h.items, key)
	}
}

func (h *RacyHelper) Add(key string) {
	h.mu.Lock()
	h.items[key]++
	h.evict(100)
	h.mu.Unlock()
}

func (h *RacyHelper) Shrink() { h.evict(10) }

//gocc:correct CorrectHelper: all callers of evictLocked have the lock
type CorrectHelper struct {
	mu    sync.Mutex
	items map[string]int
}

// The lock is held.
func (h *CorrectHelper) evictLocked(most int) {
	for key := range h.items {
		if len(h.items) <= most {
			return
		}
		delete(h.items, key)
	}
}

func (h *CorrectHelper) Add(key string) {
	h.mu.Lock()
	h.items[key]++
	h.evictLocked(100)
	h.mu.Unlock()
}

func (h *CorrectHelper) Shrink() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.evictLocked(10)
}

//gocc:racy RacyUnlockedTooEarly: the lock is released between the look and the store
type RacyUnlockedTooEarly struct {
	mu    sync.Mutex
	names map[int]string
}

func (u *RacyUnlockedTooEarly) Name(id int) string {
	u.mu.Lock()
	name, ok := u.names[id]
	u.mu.Unlock()
	if !ok {
		name = strconv.Itoa(id)
		u.names[id] = name
	}
	return name
}

//gocc:correct CorrectUnlockedLate: the same, and the lock is held until the end
type CorrectUnlockedLate struct {
	mu    sync.Mutex
	names map[int]string
}

func (u *CorrectUnlockedLate) Name(id int) string {
	u.mu.Lock()
	name, ok := u.names[id]
	if ok {
		u.mu.Unlock()
		return name
	}
	name = strconv.Itoa(id)
	u.names[id] = name
	u.mu.Unlock()
	return name
}

//gocc:racy RacyMaybeLocked: only some paths take the lock
type RacyMaybeLocked struct {
	mu     sync.Mutex
	values map[string]int
}

func (m *RacyMaybeLocked) Set(key string, value int, careful bool) {
	if careful {
		m.mu.Lock()
		defer m.mu.Unlock()
	}
	m.values[key] = value
}

func (m *RacyMaybeLocked) Get(key string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key]
}

//gocc:correct CorrectTryLock: who does not get the lock goes without
type CorrectTryLock struct {
	mu     sync.Mutex
	values map[string]int
}

func (m *CorrectTryLock) Set(key string, value int) bool {
	if !m.mu.TryLock() {
		return false
	}
	defer m.mu.Unlock()
	m.values[key] = value
	return true
}

func (m *CorrectTryLock) Get(key string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key]
}

//gocc:racy RacyInherited: a goroutine does not inherit the lock of the one that starts it
type RacyInherited struct {
	mu   sync.Mutex
	logs map[int]string
	wg   sync.WaitGroup
}

func (r *RacyInherited) Log(n int, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		r.logs[n] = line
	}()
}

//gocc:correct CorrectInherited: the goroutine takes the lock itself
type CorrectInherited struct {
	mu   sync.Mutex
	logs map[int]string
	wg   sync.WaitGroup
}

func (r *CorrectInherited) Log(n int, line string) {
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.logs[n] = line
	}()
}

//gocc:racy RacyLocalLock: each call makes its own lock
func RacyLocalLock(n int) map[int]int {
	table := map[int]int{}
	set := func(i int) {
		var mu sync.Mutex
		mu.Lock()
		defer mu.Unlock()
		table[i] = i
	}
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			set(i)
		}(i)
	}
	wg.Wait()
	return table
}

//gocc:correct CorrectOuterLock: all calls have one lock
func CorrectOuterLock(n int) map[int]int {
	table := map[int]int{}
	var mu sync.Mutex
	set := func(i int) {
		mu.Lock()
		defer mu.Unlock()
		table[i] = i
	}
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			set(i)
		}(i)
	}
	wg.Wait()
	return table
}

type stripe struct {
	sync.Mutex
	m map[uint32]int
}

//gocc:correct CorrectStripes: each stripe has its map and its lock
type CorrectStripes struct {
	stripes [8]*stripe
}

func NewCorrectStripes() *CorrectStripes {
	s := &CorrectStripes{}
	for i := range s.stripes {
		s.stripes[i] = &stripe{m: map[uint32]int{}}
	}
	return s
}

func (s *CorrectStripes) Add(key uint32, by int) {
	stripe := s.stripes[key%8]
	stripe.Lock()
	stripe.m[key] += by
	stripe.Unlock()
}

func (s *CorrectStripes) Total() int {
	total := 0
	for _, stripe := range s.stripes {
		stripe.Lock()
		for _, value := range stripe.m {
			total += value
		}
		stripe.Unlock()
	}
	return total
}

//gocc:racy RacyStripes: Total forgets the stripes' locks
type RacyStripes struct {
	stripes [8]*stripe
}

func NewRacyStripes() *RacyStripes {
	s := &RacyStripes{}
	for i := range s.stripes {
		s.stripes[i] = &stripe{m: map[uint32]int{}}
	}
	return s
}

func (s *RacyStripes) Add(key uint32, by int) {
	stripe := s.stripes[key%8]
	stripe.Lock()
	stripe.m[key] += by
	stripe.Unlock()
}

func (s *RacyStripes) Total() int {
	total := 0
	for _, stripe := range s.stripes {
		for _, value := range stripe.m {
			total += value
		}
	}
	return total
}
