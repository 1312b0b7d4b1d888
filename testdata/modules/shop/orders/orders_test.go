package orders

import (
	"strconv"
	"sync"
	"testing"
)

func TestPlace(t *testing.T) {
	var b Book
	b.Place(1, map[string]int{"tea": 2})
	if items, ok := b.Find(1); !ok || items["tea"] != 2 {
		t.Error(items, ok)
	}
}

func TestMissing(t *testing.T) {
	var b Book
	if _, ok := b.Find(7); ok {
		t.Error("there is no order 7")
	}
}

func TestManyOrders(t *testing.T) {
	var b Book
	var done sync.WaitGroup
	for g := 0; g < 8; g++ {
		g := g
		done.Add(1)
		go func() {
			defer done.Done()
			for i := 0; i < 500; i++ {
				b.Place(g*1000+i, map[string]int{strconv.Itoa(i): 1})
				b.Find(i)
			}
		}()
	}
	done.Wait()
}

func TestOwner(t *testing.T) {
	requests := make(chan string)
	result := Run(requests)
	var done sync.WaitGroup
	for g := 0; g < 4; g++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for i := 0; i < 500; i++ {
				requests <- strconv.Itoa(i % 10)
			}
		}()
	}
	done.Wait()
	close(requests)
	table := <-result
	if table["3"] != 200 {
		t.Error(table)
	}
}

// Shards: each goroutine writes to its own, the result is put together at the end.
func TestShards(t *testing.T) {
	shards := make([]map[int]int, 8)
	var done sync.WaitGroup
	for g := range shards {
		g := g
		done.Add(1)
		go func() {
			defer done.Done()
			shards[g] = map[int]int{}
			for i := 0; i < 1000; i++ {
				shards[g][i%7]++
			}
		}()
	}
	done.Wait()
	total := 0
	for _, shard := range shards {
		for _, n := range shard {
			total += n
		}
	}
	if total != 8000 {
		t.Error(total)
	}
}
