// Package prices knows what things cost.
package prices

import "sync"

// List is a price list that is replaced as a whole and never changed.
type List struct {
	mu      sync.Mutex
	current map[string]int
}

// Set replaces the list by a copy with one price changed.
func (l *List) Set(item string, price int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := make(map[string]int, len(l.current)+1)
	for k, v := range l.current {
		next[k] = v
	}
	next[item] = price
	l.current = next
}

// Snapshot gives out the list as it is now, to be read only.
func (l *List) Snapshot() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// Of says what something costs.
func (l *List) Of(item string) int {
	return l.Snapshot()[item]
}
