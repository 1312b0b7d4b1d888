// Joined: three maps. One is raced for in a way that the source shows; one in a way that only a run shows, since
// nobody but the linker knows who is behind the interface; and of one the source looks wrong, but what orders its
// users is a pipe, of which the scanner knows nothing.
//
// The argument says which: racy or ordered. Each race is two operations every few hundred microseconds.
//
//gocc:go 1.21 1.27
//gocc:expect joined
//gocc:variants static trimpath
package main

import (
	"os"
	"sync"
	"time"
)

const rounds = 200

// shown is written by two goroutines, and the source says so.
type shown struct {
	counts map[string]int
}

//go:noinline
func (s *shown) add(key string) {
	s.counts[key]++ //gocc:side assign shown
}

func runShown() {
	s := &shown{counts: map[string]int{}}
	together(func(name string) { s.add(name) }, func(name string) { s.add(name) })
}

// sink has two implementations here, so that the scanner does not know which one is called.
type sink interface {
	put(key string)
}

type discard struct{}

func (discard) put(string) {}

type tally struct {
	totals map[string]int
}

//go:noinline
func (t *tally) put(key string) {
	t.totals[key]++ //gocc:side assign hidden
}

func chosen() sink {
	if len(os.Args) > 5 {
		return discard{}
	}
	return &tally{totals: map[string]int{}}
}

func runHidden() {
	to := chosen()
	together(to.put, to.put)
}

// ordered is filled by one goroutine, then by another: the second one waits for a byte in a pipe.
type ordered struct {
	names map[int]string
}

func (o *ordered) first(k int) {
	o.names[k] = "first" //gocc:side assign ordered
}

func (o *ordered) second(k int) {
	o.names[k] = "second" //gocc:side assign ordered
}

func runOrdered() {
	o := &ordered{names: map[int]string{}}
	reader, writer, err := os.Pipe()
	if err != nil {
		os.Exit(1)
	}
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		for k := 0; k < rounds; k++ {
			o.first(k)
		}
		// So long that the two are not even near misses.
		time.Sleep(30 * time.Millisecond)
		writer.Write([]byte{1})
	}()
	go func() {
		defer done.Done()
		reader.Read(make([]byte, 1))
		for k := 0; k < rounds; k++ {
			o.second(k)
		}
	}()
	done.Wait()
}

// together lets two goroutines do something at about the same time, again and again.
func together(one, other func(string)) {
	var done sync.WaitGroup
	done.Add(2)
	begin := time.Now()
	each := func(do func(string), name string, late time.Duration) {
		defer done.Done()
		for round := 1; round <= rounds; round++ {
			time.Sleep(time.Until(begin.Add(time.Duration(round)*300*time.Microsecond + late)))
			do(name)
		}
	}
	go each(one, "one", 0)
	go each(other, "other", 60*time.Microsecond)
	done.Wait()
}

func main() {
	switch os.Args[1] {
	case "racy":
		runShown()
		runHidden()
	case "ordered":
		runOrdered()
	}
	os.Stdout.WriteString("done\n")
}
