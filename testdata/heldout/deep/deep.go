// Package deep has maps that are reached through something: other maps, interfaces, pointers, results, copies.
package deep

import (
	"maps"
	"sync"
)

//gocc:racy RacyTenants: the lock is held until a tenant's map is found, not until it is filled
type RacyTenants struct {
	mu      sync.Mutex
	tenants map[string]map[string]int
}

func NewRacyTenants() *RacyTenants {
	return &RacyTenants{tenants: map[string]map[string]int{}}
}

func (t *RacyTenants) usage(tenant string) map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	usage, ok := t.tenants[tenant]
	if !ok {
		usage = map[string]int{}
		t.tenants[tenant] = usage
	}
	return usage
}

func (t *RacyTenants) Charge(tenant, what string, by int) { t.usage(tenant)[what] += by }

//gocc:correct CorrectTenants: the lock is held to the end
type CorrectTenants struct {
	mu      sync.Mutex
	tenants map[string]map[string]int
}

func NewCorrectTenants() *CorrectTenants {
	return &CorrectTenants{tenants: map[string]map[string]int{}}
}

func (t *CorrectTenants) usage(tenant string) map[string]int {
	usage, ok := t.tenants[tenant]
	if !ok {
		usage = map[string]int{}
		t.tenants[tenant] = usage
	}
	return usage
}

func (t *CorrectTenants) Charge(tenant, what string, by int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.usage(tenant)[what] += by
}

//gocc:racy RacyGroups: members are added to what LoadOrStore gave
type RacyGroups struct{ groups sync.Map }

func (g *RacyGroups) Join(group, member string) {
	members, _ := g.groups.LoadOrStore(group, map[string]struct{}{})
	members.(map[string]struct{})[member] = struct{}{}
}

//gocc:correct CorrectGroups: what LoadOrStore gives has a lock of its own
type CorrectGroups struct{ groups sync.Map }

type members struct {
	mu    sync.Mutex
	names map[string]struct{}
}

func (g *CorrectGroups) Join(group, member string) {
	found, _ := g.groups.LoadOrStore(group, &members{names: map[string]struct{}{}})
	m := found.(*members)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names[member] = struct{}{}
}

//gocc:racy RacySum: Range looks into maps that Set changes
type RacySum struct{ parts sync.Map }

func (s *RacySum) Set(part, key string, value int) {
	if found, ok := s.parts.Load(part); ok {
		found.(map[string]int)[key] = value
		return
	}
	s.parts.Store(part, map[string]int{key: value})
}

func (s *RacySum) Sum() int {
	sum := 0
	s.parts.Range(func(_, part any) bool {
		for _, value := range part.(map[string]int) {
			sum += value
		}
		return true
	})
	return sum
}

//gocc:correct CorrectSum: Set stores a new map each time
type CorrectSum struct{ parts sync.Map }

func (s *CorrectSum) Set(part, key string, value int) {
	next := map[string]int{}
	if found, ok := s.parts.Load(part); ok {
		next = maps.Clone(found.(map[string]int))
	}
	next[key] = value
	s.parts.Store(part, next)
}

func (s *CorrectSum) Sum() int {
	sum := 0
	s.parts.Range(func(_, part any) bool {
		for _, value := range part.(map[string]int) {
			sum += value
		}
		return true
	})
	return sum
}

//gocc:racy RacyPayload: a map goes into a goroutine as any
func RacyPayload(rounds int) {
	var payload any = map[string]int{"round": 0}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if fields, ok := payload.(map[string]int); ok {
			for i := 0; i < rounds; i++ {
				fields["round"] = i
			}
		}
	}()
	for i := 0; i < rounds; i++ {
		_ = payload.(map[string]int)["round"]
	}
	<-done
}

//gocc:correct CorrectPayload: the goroutine's any has a map of its own
func CorrectPayload(rounds int) {
	fields := map[string]int{"round": 0}
	var payload any = maps.Clone(fields)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if copied, ok := payload.(map[string]int); ok {
			for i := 0; i < rounds; i++ {
				copied["round"] = i
			}
		}
	}()
	for i := 0; i < rounds; i++ {
		fields["round"] = i
	}
	<-done
}

//gocc:racy RacyReturned: All gives its callers the map itself
type RacyReturned struct {
	mu    sync.RWMutex
	flags map[string]bool
}

func (r *RacyReturned) Set(flag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flags[flag] = true
}

func (r *RacyReturned) All() map[string]bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.flags
}

func (r *RacyReturned) CountLater() <-chan int {
	count := make(chan int, 1)
	go func() {
		n := 0
		for range r.All() {
			n++
		}
		count <- n
	}()
	return count
}

//gocc:correct CorrectReturned: All gives a copy
type CorrectReturned struct {
	mu    sync.RWMutex
	flags map[string]bool
}

func (r *CorrectReturned) Set(flag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flags[flag] = true
}

func (r *CorrectReturned) All() map[string]bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return maps.Clone(r.flags)
}

func (r *CorrectReturned) CountLater() <-chan int {
	count := make(chan int, 1)
	go func() {
		n := 0
		for range r.All() {
			n++
		}
		count <- n
	}()
	return count
}

//gocc:racy RacyPointer: a pointer to a map is passed on
func RacyPointer(rounds int) int {
	table := map[int]int{}
	done := make(chan struct{})
	go racyFillFrom(&table, rounds, done)
	racyFill(&table, rounds)
	<-done
	return len(table)
}

func racyFillFrom(table *map[int]int, rounds int, done chan<- struct{}) {
	racyFill(table, rounds)
	close(done)
}

func racyFill(table *map[int]int, rounds int) {
	for i := 0; i < rounds; i++ {
		(*table)[i] = i
	}
}

//gocc:correct CorrectPointer: the second filling begins when the first one has ended
func CorrectPointer(rounds int) int {
	table := map[int]int{}
	done := make(chan struct{})
	go correctFillFrom(&table, rounds, done)
	<-done
	correctFill(&table, rounds)
	return len(table)
}

func correctFillFrom(table *map[int]int, rounds int, done chan<- struct{}) {
	correctFill(table, rounds)
	close(done)
}

func correctFill(table *map[int]int, rounds int) {
	for i := 0; i < rounds; i++ {
		(*table)[i] = i
	}
}

type options struct {
	name   string
	labels map[string]string
}

//gocc:racy RacyOptions: copies of a struct have one map
func RacyOptions(names []string) {
	defaults := options{labels: map[string]string{"env": "test"}}
	var wg sync.WaitGroup
	for _, name := range names {
		mine := defaults
		mine.name = name
		wg.Add(1)
		go func() {
			defer wg.Done()
			mine.labels["name"] = mine.name
		}()
	}
	wg.Wait()
}

//gocc:correct CorrectOptions: each copy gets a map of its own
func CorrectOptions(names []string) {
	defaults := options{labels: map[string]string{"env": "test"}}
	var wg sync.WaitGroup
	for _, name := range names {
		mine := defaults
		mine.name = name
		mine.labels = maps.Clone(defaults.labels)
		wg.Add(1)
		go func() {
			defer wg.Done()
			mine.labels["name"] = mine.name
		}()
	}
	wg.Wait()
}

//gocc:racy RacyBuckets: all goroutines use the first bucket too
func RacyBuckets(n int) int {
	buckets := make([]map[int]int, n)
	for i := range buckets {
		buckets[i] = map[int]int{}
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			buckets[0][i] = i
		}()
	}
	wg.Wait()
	return len(buckets[0])
}

//gocc:correct CorrectBuckets: each goroutine has its bucket
func CorrectBuckets(n int) int {
	buckets := make([]map[int]int, n)
	for i := range buckets {
		buckets[i] = map[int]int{}
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := range 10 {
				buckets[i][k] = k
			}
		}()
	}
	wg.Wait()
	return len(buckets[0])
}

//gocc:racy RacySet: goroutines add to a generic set
type racySet[T comparable] struct{ items map[T]struct{} }

func (s *racySet[T]) Add(item T) { s.items[item] = struct{}{} }

func (s *racySet[T]) Has(item T) bool {
	_, ok := s.items[item]
	return ok
}

func RacySet(n int) bool {
	set := &racySet[int]{items: map[int]struct{}{}}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { set.Add(i) })
	}
	wg.Wait()
	return set.Has(1)
}

//gocc:correct CorrectSet: goroutines add to a generic set with a lock
type lockedSet[T comparable] struct {
	mu    sync.Mutex
	items map[T]struct{}
}

func (s *lockedSet[T]) Add(item T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items[item] = struct{}{}
}

func CorrectSet(n int) int {
	set := &lockedSet[int]{items: map[int]struct{}{}}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { set.Add(i) })
	}
	wg.Wait()
	return len(set.items)
}
