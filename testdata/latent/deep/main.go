// Deep: a tree walk that notes what it saw, 40 calls down, in two goroutines, about 100 microseconds
// apart.
//
//gocc:go 1.18 1.27
//gocc:expect latent assign/assign
//gocc:variants static stripped race
package main

import (
	"os"
	"sync"
	"time"
)

const depth = 40

type node struct {
	name  string
	child *node
}

type walker struct{ seen map[string]int }

func tree(name string) *node {
	root := &node{name: name}
	for i := 0; i < depth; i++ {
		root = &node{name: name, child: root}
	}
	return root
}

//go:noinline
func (w *walker) visit(n *node, level int) int {
	if n.child == nil {
		return w.note(n.name, level)
	}
	return w.visit(n.child, level+1) + 1
}

//go:noinline
func (w *walker) note(name string, level int) int {
	w.seen[name] = level //gocc:side assign
	return level
}

// busy waits for a moment and then computes for a while, without any synchronisation. What a thread
// stands still does not count, so that two of them that go on at the same moment stay apart.
func busy(from time.Time, d time.Duration) {
	for time.Now().Before(from) {
	}
	for last := time.Now(); d > 0; {
		now := time.Now()
		step := now.Sub(last)
		if step > time.Microsecond {
			step = time.Microsecond
		}
		last, d = now, d-step
	}
}

func main() {
	// Nobody touches the map but the two goroutines, and it is large enough never to grow.
	w := &walker{seen: make(map[string]int, 64)}
	var levels [2]int
	// Late enough for both goroutines to have a thread by then.
	start := time.Now().Add(2 * time.Millisecond)
	var done sync.WaitGroup
	done.Add(2)
	for i, name := range []string{"oak", "elm"} {
		go func(i int, root *node) {
			defer done.Done()
			busy(start, time.Duration(100*i)*time.Microsecond)
			levels[i] = w.visit(root, 0)
		}(i, tree(name))
	}
	done.Wait()
	if levels[0] != 2*depth || levels[1] != 2*depth {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
