// Package guarded has maps with a lock that not everybody takes, or not as needed.
package guarded

import (
	"maps"
	"sync"
	"sync/atomic"
)

//gocc:racy RacyGet: Get takes no lock, Set does
type RacyGet struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *RacyGet) Get(k string) int { return c.m[k] }

func (c *RacyGet) Set(k string, v int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[k] = v
}

func (c *RacyGet) Drop(k string) {
	c.mu.Lock()
	delete(c.m, k)
	c.mu.Unlock()
}

//gocc:correct CorrectGet: everybody takes it
type CorrectGet struct {
	mu sync.RWMutex
	m  map[string]int
}

func (c *CorrectGet) Get(k string) int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.m[k]
}

func (c *CorrectGet) Set(k string, v int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[k] = v
}

func (c *CorrectGet) Drop(k string) {
	c.mu.Lock()
	delete(c.m, k)
	c.mu.Unlock()
}

//gocc:racy RacyDelete: Delete forgot the lock
type RacyDelete struct {
	lock  sync.RWMutex
	peers map[int]string
}

func (p *RacyDelete) Add(id int, name string) {
	p.lock.Lock()
	p.peers[id] = name
	p.lock.Unlock()
}

func (p *RacyDelete) Name(id int) string {
	p.lock.RLock()
	defer p.lock.RUnlock()
	return p.peers[id]
}

func (p *RacyDelete) Remove(id int) { delete(p.peers, id) }

//gocc:correct CorrectHelper: the helper without a lock is only called under it
type CorrectHelper struct {
	lock  sync.Mutex
	peers map[int]string
}

func (p *CorrectHelper) Add(id int, name string) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.put(id, name)
}

func (p *CorrectHelper) put(id int, name string) { p.peers[id] = name }

func (p *CorrectHelper) Swap(a, b int) {
	p.lock.Lock()
	defer p.lock.Unlock()
	na, nb := p.peers[a], p.peers[b]
	p.put(a, nb)
	p.put(b, na)
}

//gocc:racy RacyReadLock: a write under RLock
type RacyReadLock struct {
	mu   sync.RWMutex
	hits map[string]int
}

func (h *RacyReadLock) Hit(k string) int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	h.hits[k]++
	return h.hits[k]
}

//gocc:correct CorrectUpgrade: the read lock is given back before the write
type CorrectUpgrade struct {
	mu   sync.RWMutex
	hits map[string]int
}

func (h *CorrectUpgrade) Hit(k string) int {
	h.mu.RLock()
	n, ok := h.hits[k]
	h.mu.RUnlock()
	if ok {
		return n
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if n, ok := h.hits[k]; ok {
		return n
	}
	h.hits[k] = 1
	return 1
}

//gocc:racy RacyTwoLocks: two mutexes, one map
type RacyTwoLocks struct {
	readMu, writeMu sync.Mutex
	m               map[int]int
}

func (t *RacyTwoLocks) Read(k int) int {
	t.readMu.Lock()
	defer t.readMu.Unlock()
	return t.m[k]
}

func (t *RacyTwoLocks) Write(k, v int) {
	t.writeMu.Lock()
	defer t.writeMu.Unlock()
	t.m[k] = v
}

//gocc:correct CorrectTwoMaps: two mutexes, a map for each
type CorrectTwoMaps struct {
	aMu, bMu sync.Mutex
	a, b     map[int]int
}

func (t *CorrectTwoMaps) A(k, v int) {
	t.aMu.Lock()
	t.a[k] = v
	t.aMu.Unlock()
}

func (t *CorrectTwoMaps) B(k, v int) {
	t.bMu.Lock()
	t.b[k] = v
	t.bMu.Unlock()
}

//gocc:racy RacyCopiedLock: a value receiver locks a copy
type RacyCopiedLock struct {
	mu sync.Mutex
	m  map[string]int
}

func (c RacyCopiedLock) Set(k string, v int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[k] = v
}

//gocc:correct CorrectPointerLock: the lock is behind a pointer: copies share it
type CorrectPointerLock struct {
	mu *sync.Mutex
	m  map[string]int
}

func (c CorrectPointerLock) Set(k string, v int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[k] = v
}

//gocc:racy RacyUnlockEarly: the last access comes after Unlock
type RacyUnlockEarly struct {
	mu sync.Mutex
	m  map[string]int
}

func (u *RacyUnlockEarly) Inc(k string) int {
	u.mu.Lock()
	u.m[k]++
	u.mu.Unlock()
	return u.m[k]
}

//gocc:correct CorrectUnlockEarly: the value is taken before it
type CorrectUnlockEarly struct {
	mu sync.Mutex
	m  map[string]int
}

func (u *CorrectUnlockEarly) Inc(k string) int {
	u.mu.Lock()
	u.m[k]++
	n := u.m[k]
	u.mu.Unlock()
	return n
}

//gocc:racy RacyOnePath: one path reads before it locks
type RacyOnePath struct {
	mu    sync.Mutex
	index map[string][]string
}

func (o *RacyOnePath) Find(k string, fresh bool) []string {
	if !fresh {
		if v := o.index[k]; v != nil {
			return v
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.index[k] = append(o.index[k], k)
	return o.index[k]
}

//gocc:correct CorrectTryLock: who does not get the lock does nothing
type CorrectTryLock struct {
	mu    sync.Mutex
	index map[string]int
}

func (o *CorrectTryLock) Bump(k string) bool {
	if !o.mu.TryLock() {
		return false
	}
	defer o.mu.Unlock()
	o.index[k]++
	return true
}

//gocc:racy RacySnapshot: the snapshot is an alias
type RacySnapshot struct {
	mu sync.RWMutex
	m  map[string]int
}

func (s *RacySnapshot) Sum() int {
	s.mu.RLock()
	m := s.m
	s.mu.RUnlock()
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

func (s *RacySnapshot) Add(k string, v int) {
	s.mu.Lock()
	s.m[k] += v
	s.mu.Unlock()
}

//gocc:correct CorrectSnapshot: the snapshot is a copy
type CorrectSnapshot struct {
	mu sync.RWMutex
	m  map[string]int
}

func (s *CorrectSnapshot) Sum() int {
	s.mu.RLock()
	m := maps.Clone(s.m)
	s.mu.RUnlock()
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

func (s *CorrectSnapshot) Add(k string, v int) {
	s.mu.Lock()
	s.m[k] += v
	s.mu.Unlock()
}

//gocc:correct CorrectDrain: the map is taken away under the lock, then emptied by its only owner
type CorrectDrain struct {
	mu      sync.Mutex
	pending map[string]int
}

func (d *CorrectDrain) Add(k string) {
	d.mu.Lock()
	d.pending[k]++
	d.mu.Unlock()
}

func (d *CorrectDrain) Flush() int {
	d.mu.Lock()
	taken := d.pending
	d.pending = make(map[string]int)
	d.mu.Unlock()
	n := 0
	for k, v := range taken {
		n += v
		delete(taken, k)
	}
	return n
}

//gocc:correct CorrectCopyOnWrite: writers replace the map, readers never see it change
type CorrectCopyOnWrite struct {
	mu    sync.Mutex
	table atomic.Pointer[map[string]int]
}

func (c *CorrectCopyOnWrite) Set(k string, v int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[string]int{}
	if old := c.table.Load(); old != nil {
		for k, v := range *old {
			next[k] = v
		}
	}
	next[k] = v
	c.table.Store(&next)
}

func (c *CorrectCopyOnWrite) Get(k string) int {
	if m := c.table.Load(); m != nil {
		return (*m)[k]
	}
	return 0
}

//gocc:correct CorrectRelock: the lock is given back inside the loop, and taken again before the next step
type CorrectRelock struct {
	mu   sync.Mutex
	subs map[int]func()
}

func (l *CorrectRelock) Subscribe(id int, f func()) {
	l.mu.Lock()
	l.subs[id] = f
	l.mu.Unlock()
}

func (l *CorrectRelock) Notify() {
	l.mu.Lock()
	for _, f := range l.subs {
		l.mu.Unlock()
		f()
		l.mu.Lock()
	}
	l.mu.Unlock()
}

//gocc:correct CorrectLoopUnlock: the functions are collected first
type CorrectLoopUnlock struct {
	mu   sync.Mutex
	subs map[int]func()
}

func (l *CorrectLoopUnlock) Subscribe(id int, f func()) {
	l.mu.Lock()
	l.subs[id] = f
	l.mu.Unlock()
}

func (l *CorrectLoopUnlock) Notify() {
	var all []func()
	l.mu.Lock()
	for _, f := range l.subs {
		all = append(all, f)
	}
	l.mu.Unlock()
	for _, f := range all {
		f()
	}
}
