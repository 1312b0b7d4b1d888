// Errgroup: goroutines in groups, as golang.org/x/sync/errgroup has them: at most a few at a time, the
// first error kept, Wait before the results are used. Each goroutine works on a map of its own, and the
// group's owner merges them after Wait and hands them out again.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static stripped race
package main

import (
	"errors"
	"os"
	"sync"
)

type group struct {
	done  sync.WaitGroup
	once  sync.Once
	slots chan struct{}
	err   error
}

func newGroup(limit int) *group { return &group{slots: make(chan struct{}, limit)} }

// run starts a function as soon as fewer than the limit run.
func (g *group) run(f func() error) {
	g.slots <- struct{}{}
	g.done.Add(1)
	go func() {
		defer func() {
			<-g.slots
			g.done.Done()
		}()
		if err := f(); err != nil {
			g.once.Do(func() { g.err = err })
		}
	}()
}

func (g *group) wait() error {
	g.done.Wait()
	return g.err
}

const (
	rounds = 25
	parts  = 10
	keys   = 10
)

func compute(part map[int]int, from int) error {
	for k := from; k < from+keys; k++ {
		part[k] += k
	}
	if part[from] == 0 && from != 0 {
		return errors.New("nothing there")
	}
	return nil
}

func main() {
	merged := map[int]int{}
	all := make([]map[int]int, parts)
	for i := range all {
		all[i] = map[int]int{}
	}
	for round := 0; round < rounds; round++ {
		g := newGroup(3)
		for i := range all {
			part, from := all[i], i*keys
			g.run(func() error { return compute(part, from) })
		}
		if g.wait() != nil {
			os.Exit(1)
		}
		for _, part := range all {
			for k, v := range part {
				merged[k] = v
			}
		}
	}
	if merged[parts*keys-1] != rounds*(parts*keys-1) {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
