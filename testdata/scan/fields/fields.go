// Package fields has maps in structs whose goroutines and methods share them.
package fields

import (
	"sync"
	"time"
)

//gocc:racy RacyPoller: the constructor starts a goroutine that writes what Get reads
type RacyPoller struct {
	values map[string]int
	stop   chan struct{}
}

func NewRacyPoller() *RacyPoller {
	p := &RacyPoller{values: map[string]int{}, stop: make(chan struct{})}
	go p.poll()
	return p
}

func (p *RacyPoller) poll() {
	for i := 0; ; i++ {
		select {
		case <-p.stop:
			return
		default:
			p.values["latest"] = i
			time.Sleep(time.Microsecond)
		}
	}
}

func (p *RacyPoller) Get() int { return p.values["latest"] }

func (p *RacyPoller) Stop() { close(p.stop) }

//gocc:correct CorrectPoller: the same with a lock
type CorrectPoller struct {
	mu     sync.RWMutex
	values map[string]int
	stop   chan struct{}
}

func NewCorrectPoller() *CorrectPoller {
	p := &CorrectPoller{values: map[string]int{}, stop: make(chan struct{})}
	go p.poll()
	return p
}

func (p *CorrectPoller) poll() {
	for i := 0; ; i++ {
		select {
		case <-p.stop:
			return
		default:
			p.set(i)
			time.Sleep(time.Microsecond)
		}
	}
}

func (p *CorrectPoller) set(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.values["latest"] = i
}

func (p *CorrectPoller) Get() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.values["latest"]
}

func (p *CorrectPoller) Stop() { close(p.stop) }

//gocc:racy RacyJanitor: the janitor deletes without the lock that the others take
type RacyJanitor struct {
	sync.Mutex
	items map[string]time.Time
}

func NewRacyJanitor() *RacyJanitor {
	j := &RacyJanitor{items: make(map[string]time.Time)}
	go j.clean()
	return j
}

func (j *RacyJanitor) clean() {
	for i := 0; i < 200; i++ {
		for k := range j.items {
			delete(j.items, k)
		}
		time.Sleep(10 * time.Microsecond)
	}
}

func (j *RacyJanitor) Add(k string) {
	j.Lock()
	defer j.Unlock()
	j.items[k] = time.Now()
}

//gocc:correct CorrectJanitor: the janitor takes it, too
type CorrectJanitor struct {
	sync.Mutex
	items map[string]time.Time
}

func NewCorrectJanitor() *CorrectJanitor {
	j := &CorrectJanitor{items: make(map[string]time.Time)}
	go j.clean()
	return j
}

func (j *CorrectJanitor) clean() {
	for i := 0; i < 20; i++ {
		j.sweep()
		time.Sleep(10 * time.Microsecond)
	}
}

func (j *CorrectJanitor) sweep() {
	j.Lock()
	defer j.Unlock()
	for k := range j.items {
		delete(j.items, k)
	}
}

func (j *CorrectJanitor) Add(k string) {
	j.Lock()
	defer j.Unlock()
	j.items[k] = time.Now()
}

//gocc:racy RacyCrawler: workers share the visited set of their struct
type RacyCrawler struct {
	visited map[string]bool
	wg      sync.WaitGroup
}

func (c *RacyCrawler) Crawl(urls []string) int {
	c.visited = map[string]bool{}
	for _, u := range urls {
		c.wg.Add(1)
		go c.fetch(u)
	}
	c.wg.Wait()
	return len(c.visited)
}

func (c *RacyCrawler) fetch(u string) {
	defer c.wg.Done()
	if c.visited[u] {
		return
	}
	c.visited[u] = true
}

//gocc:correct CorrectCrawler: visited under a lock in a helper
type CorrectCrawler struct {
	mu      sync.Mutex
	visited map[string]bool
	wg      sync.WaitGroup
}

func (c *CorrectCrawler) Crawl(urls []string) int {
	c.visited = map[string]bool{}
	for _, u := range urls {
		c.wg.Add(1)
		go c.fetch(u)
	}
	c.wg.Wait()
	return len(c.visited)
}

func (c *CorrectCrawler) fetch(u string) {
	defer c.wg.Done()
	if !c.first(u) {
		return
	}
}

func (c *CorrectCrawler) first(u string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.visited[u] {
		return false
	}
	c.visited[u] = true
	return true
}

//gocc:racy RacyEmbedded: the map comes from an embedded struct
type RacyEmbedded struct {
	racyBase
	name string
}

type racyBase struct {
	tags map[string]string
}

func (b *racyBase) Tag(k, v string) { b.tags[k] = v }

func TagAll(e *RacyEmbedded, keys []string) {
	e.tags = map[string]string{}
	var wg sync.WaitGroup
	for _, k := range keys {
		wg.Add(1)
		go func() {
			defer wg.Done()
			e.Tag(k, e.name)
		}()
	}
	wg.Wait()
}

//gocc:correct CorrectOwner: one goroutine owns the map, others ask it
type CorrectOwner struct {
	requests chan func(map[string]int)
}

func NewCorrectOwner() *CorrectOwner {
	o := &CorrectOwner{requests: make(chan func(map[string]int))}
	go o.serve()
	return o
}

func (o *CorrectOwner) serve() {
	owned := map[string]int{}
	for request := range o.requests {
		request(owned)
	}
}

func (o *CorrectOwner) Add(k string) {
	done := make(chan struct{})
	o.requests <- func(m map[string]int) {
		m[k]++
		close(done)
	}
	<-done
}

//gocc:racy RacyGeneric: a generic set whose methods run in goroutines
type RacyGeneric[K comparable] struct {
	items map[K]struct{}
}

func (s *RacyGeneric[K]) Put(k K) { s.items[k] = struct{}{} }

func FillRacyGeneric(n int) int {
	s := &RacyGeneric[int]{items: map[int]struct{}{}}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { s.Put(i) })
	}
	wg.Wait()
	return len(s.items)
}

//gocc:correct CorrectGeneric: the same with a lock inside
type CorrectGeneric[K comparable] struct {
	mu    sync.Mutex
	items map[K]struct{}
}

func (s *CorrectGeneric[K]) Put(k K) {
	s.mu.Lock()
	s.items[k] = struct{}{}
	s.mu.Unlock()
}

func FillCorrectGeneric(n int) int {
	s := &CorrectGeneric[int]{items: map[int]struct{}{}}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { s.Put(i) })
	}
	wg.Wait()
	return len(s.items)
}

//gocc:racy RacyStats: Record runs in the goroutine that Run starts, Snapshot in the caller's
type RacyStats struct {
	counts map[string]int
}

func (s *RacyStats) Run(n int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < n; i++ {
			s.counts["n"]++
		}
	}()
	return done
}

func (s *RacyStats) Snapshot() map[string]int {
	out := make(map[string]int, len(s.counts))
	for k, v := range s.counts {
		out[k] = v
	}
	return out
}

//gocc:correct CorrectStats: the goroutine sends what it counted
type CorrectStats struct {
	counts map[string]int
}

func (s *CorrectStats) Run(n int) {
	results := make(chan string)
	go func() {
		defer close(results)
		for i := 0; i < n; i++ {
			results <- "n"
		}
	}()
	for name := range results {
		s.counts[name]++
	}
}

//gocc:racy RacyFunctionField: a callback that a goroutine calls writes the map
type RacyFunctionField struct {
	onEvent func(string)
	events  map[string]int
}

func NewRacyFunctionField() *RacyFunctionField {
	f := &RacyFunctionField{events: map[string]int{}}
	f.onEvent = func(name string) { f.events[name]++ }
	return f
}

func (f *RacyFunctionField) Fire(names []string) {
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Add(1)
		go func() {
			defer wg.Done()
			f.onEvent(name)
		}()
	}
	wg.Wait()
}

//gocc:correct CorrectInstances: each worker is a value of its own
type CorrectInstances struct {
	counts map[int]int
}

func (w *CorrectInstances) work(n int) {
	for i := 0; i < n; i++ {
		w.counts[i]++
	}
}

func RunInstances(n int) int {
	var wg sync.WaitGroup
	workers := make([]*CorrectInstances, 4)
	for i := range workers {
		workers[i] = &CorrectInstances{counts: map[int]int{}}
	}
	for _, w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			w.work(n)
		}()
	}
	wg.Wait()
	total := 0
	for _, w := range workers {
		total += len(w.counts)
	}
	return total
}
