// Onrequest does map operations when it is told to on stdin, and is idle otherwise, so that what others count
// can be compared while nothing moves.
//
//	load N   four goroutines make N operations each on one map, under a mutex
//	race N   two goroutines make N operations each on one map, without one
//
// It answers each line with "done" when it has done so.
//
//gocc:go 1.18 1.27
//gocc:expect conflict assign/assign assign/iterate
//gocc:variants static
package main

import (
	"bufio"
	"fmt"
	"os"
	"sync"
)

type table struct {
	mu     sync.Mutex
	counts map[int]int
}

//go:noinline
func (t *table) add(key int) {
	t.mu.Lock()
	t.counts[key&63]++
	t.mu.Unlock()
}

//go:noinline
func (t *table) addUnlocked(key int) {
	t.counts[key&63]++
}

//go:noinline
func (t *table) sumUnlocked() (sum int) {
	for _, n := range t.counts {
		sum += n
	}
	return sum
}

func together(workers ...func()) {
	var done sync.WaitGroup
	for _, work := range workers {
		work := work
		done.Add(1)
		go func() {
			defer done.Done()
			work()
		}()
	}
	done.Wait()
}

func load(t *table, n int) {
	work := func() {
		for i := 0; i < n; i++ {
			t.add(i)
		}
	}
	together(work, work, work, work)
}

func race(t *table, n int) {
	together(
		func() {
			for i := 0; i < n; i++ {
				t.addUnlocked(i)
			}
		},
		func() {
			for i := 0; i < n/64; i++ {
				t.sumUnlocked()
			}
		},
	)
}

func main() {
	t := &table{counts: map[int]int{}}
	for i := 0; i < 64; i++ {
		t.add(i)
	}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var what string
		var n int
		fmt.Sscan(lines.Text(), &what, &n)
		switch what {
		case "load":
			load(t, n)
		case "race":
			race(t, n)
		}
		fmt.Println("done")
	}
}
