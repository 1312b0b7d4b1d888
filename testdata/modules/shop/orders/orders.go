// Package orders keeps orders by number.
package orders

import "sync"

// Book is an order book.
type Book struct {
	orders sync.Map
}

// Place files an order.
func (b *Book) Place(number int, items map[string]int) {
	b.orders.Store(number, items)
}

// Find looks an order up.
func (b *Book) Find(number int) (map[string]int, bool) {
	found, ok := b.orders.Load(number)
	if !ok {
		return nil, false
	}
	return found.(map[string]int), true
}

// Run works off requests, one after the other, in a goroutine that alone owns its table.
func Run(requests <-chan string) <-chan map[string]int {
	result := make(chan map[string]int, 1)
	go func() {
		table := map[string]int{}
		for request := range requests {
			table[request]++
		}
		result <- table
	}()
	return result
}
