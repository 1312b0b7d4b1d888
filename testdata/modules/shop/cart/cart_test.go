package cart

import (
	"strconv"
	"sync"
	"testing"
)

func TestAdd(t *testing.T) {
	c := New()
	c.Add("apple", 2)
	c.Add("apple", 1)
	if c.Count("apple") != 3 {
		t.Error(c.Count("apple"))
	}
}

func TestRemove(t *testing.T) {
	c := New()
	c.Add("pear", 1)
	c.Remove("pear")
	if c.Total() != 0 {
		t.Error(c.Total())
	}
}

func TestTotal(t *testing.T) {
	c := New()
	for i := 0; i < 100; i++ {
		c.Add(strconv.Itoa(i), i)
	}
	if c.Total() != 4950 {
		t.Error(c.Total())
	}
}

// Each goroutine has a cart of its own.
func TestOwnCarts(t *testing.T) {
	var done sync.WaitGroup
	for g := 0; g < 8; g++ {
		done.Add(1)
		go func() {
			defer done.Done()
			c := New()
			for i := 0; i < 1000; i++ {
				c.Add(strconv.Itoa(i%17), 1)
			}
			if c.Total() != 1000 {
				t.Error(c.Total())
			}
		}()
	}
	done.Wait()
}

func TestUnderALock(t *testing.T) {
	var mu sync.Mutex
	var done sync.WaitGroup
	c := New()
	for g := 0; g < 8; g++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for i := 0; i < 1000; i++ {
				mu.Lock()
				c.Add("apple", 1)
				mu.Unlock()
			}
		}()
	}
	done.Wait()
	if c.Count("apple") != 8000 {
		t.Error(c.Count("apple"))
	}
}

// Races: both goroutines put things into one cart.
func TestConcurrentCheckout(t *testing.T) {
	c := New()
	var done sync.WaitGroup
	for g := 0; g < 2; g++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for i := 0; i < 100000; i++ {
				c.Add(strconv.Itoa(i%64), 1)
			}
		}()
	}
	done.Wait()
}
