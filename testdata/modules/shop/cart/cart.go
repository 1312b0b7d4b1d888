// Package cart holds what customers are about to buy.
package cart

// Cart counts items by name. It is not safe for concurrent use.
type Cart struct {
	items map[string]int
}

// New makes an empty cart.
func New() *Cart {
	return &Cart{items: make(map[string]int)}
}

// Add puts n of an item into the cart.
func (c *Cart) Add(item string, n int) {
	c.items[item] += n
}

// Remove takes an item out.
func (c *Cart) Remove(item string) {
	delete(c.items, item)
}

// Count says how many of an item are in the cart.
func (c *Cart) Count(item string) int {
	return c.items[item]
}

// Total says how many items there are.
func (c *Cart) Total() int {
	total := 0
	for _, n := range c.items {
		total += n
	}
	return total
}
