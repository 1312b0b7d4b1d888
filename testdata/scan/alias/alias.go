// Package alias has maps that are reached by several names: parameters, pointers, results, channels.
package alias

import (
	"context"
	"sync"
)

//gocc:racy RacyParam: a map that was passed in is written by two
func RacyParam(m map[int]int) {
	done := make(chan struct{})
	go fill(m, 0, done)
	for i := 0; i < 50; i++ {
		m[100+i] = i
	}
	<-done
}

func fill(m map[int]int, from int, done chan struct{}) {
	for i := from; i < from+50; i++ {
		m[i] = i
	}
	close(done)
}

//gocc:correct CorrectParam: the caller waits
func CorrectParam(m map[int]int) {
	done := make(chan struct{})
	go fill(m, 0, done)
	<-done
	for i := 0; i < 50; i++ {
		m[100+i] = i
	}
}

//gocc:racy RacyPointer: through a pointer to the map
func RacyPointer() int {
	m := map[string]int{}
	p := &m
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		(*p)["a"] = 1
	}()
	m["b"] = 2
	wg.Wait()
	return len(m)
}

//gocc:correct CorrectPointer: the pointer is used before the goroutine starts
func CorrectPointer() int {
	m := map[string]int{}
	p := &m
	(*p)["b"] = 2
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		(*p)["a"] = 1
	}()
	wg.Wait()
	return m["a"]
}

//gocc:racy RacyGetter: a getter hands the map out
type RacyGetter struct {
	mu    sync.Mutex
	attrs map[string]string
}

func (g *RacyGetter) Attrs() map[string]string { return g.attrs }

func (g *RacyGetter) Set(k, v string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.attrs[k] = v
}

func (g *RacyGetter) Both(k string) string {
	g.mu.Lock()
	g.attrs[k] = k
	g.mu.Unlock()
	return g.Attrs()[k]
}

//gocc:correct CorrectGetter: a getter of one value, under the lock
type CorrectGetter struct {
	mu    sync.Mutex
	attrs map[string]string
}

func (g *CorrectGetter) Attr(k string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.attrs[k]
}

func (g *CorrectGetter) Set(k, v string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.attrs[k] = v
}

//gocc:racy RacyChannel: the sender goes on writing
func RacyChannel() int {
	ch := make(chan map[string]int)
	done := make(chan int)
	go func() {
		m := <-ch
		n := 0
		for i := 0; i < 100; i++ {
			n += m["a"]
		}
		done <- n
	}()
	m := map[string]int{"a": 1}
	ch <- m
	for i := 0; i < 100; i++ {
		m["a"] = i
	}
	return <-done
}

//gocc:correct CorrectChannel: the sender lets go of it
func CorrectChannel() int {
	ch := make(chan map[string]int)
	done := make(chan int)
	go func() {
		n := 0
		for m := range ch {
			m["seen"] = 1
			n += len(m)
		}
		done <- n
	}()
	for i := 0; i < 3; i++ {
		m := map[string]int{}
		m["a"] = i
		ch <- m
	}
	close(ch)
	return <-done
}

//gocc:racy RacyReused: the sender reuses the map that it sent
func RacyReused() int {
	ch := make(chan map[int]int, 4)
	done := make(chan int)
	go func() {
		n := 0
		for m := range ch {
			for _, v := range m {
				n += v
			}
		}
		done <- n
	}()
	batch := map[int]int{}
	for i := 0; i < 50; i++ {
		batch[i] = i
		ch <- batch
	}
	close(ch)
	return <-done
}

//gocc:correct CorrectBatches: a new map for each batch
func CorrectBatches() int {
	ch := make(chan map[int]int, 4)
	done := make(chan int)
	go func() {
		n := 0
		for m := range ch {
			for _, v := range m {
				n += v
			}
		}
		done <- n
	}()
	batch := map[int]int{}
	for i := 0; i < 50; i++ {
		batch[i] = i
		if len(batch) == 10 {
			ch <- batch
			batch = map[int]int{}
		}
	}
	close(ch)
	return <-done
}

//gocc:racy RacyStructCopy: copying a struct copies the pointer to the map
func RacyStructCopy() int {
	type options struct {
		labels map[string]string
	}
	base := options{labels: map[string]string{}}
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		own := base
		wg.Add(1)
		go func() {
			defer wg.Done()
			own.labels["name"] = name
		}()
	}
	wg.Wait()
	return len(base.labels)
}

//gocc:correct CorrectStructCopy: the copy gets a map of its own
func CorrectStructCopy() int {
	type options struct {
		labels map[string]string
	}
	base := options{labels: map[string]string{"x": "y"}}
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		own := options{labels: map[string]string{}}
		for k, v := range base.labels {
			own.labels[k] = v
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			own.labels["name"] = name
		}()
	}
	wg.Wait()
	return len(base.labels)
}

//gocc:racy RacyResult: two results of one call are one map
func RacyResult() int {
	a, b := views()
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		a[1] = 1
	}()
	b[2] = 2
	wg.Wait()
	return len(a)
}

func views() (map[int]int, map[int]int) {
	m := map[int]int{}
	return m, m
}

//gocc:correct CorrectResult: two results are two maps
func CorrectResult() int {
	a, b := pairOfMaps()
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		a[1] = 1
	}()
	b[2] = 2
	wg.Wait()
	return len(a) + len(b)
}

func pairOfMaps() (map[int]int, map[int]int) {
	return map[int]int{}, map[int]int{}
}

//gocc:racy RacyWorkers: workers of a pool share the map of results
func RacyWorkers(jobs []int) map[int]int {
	work := make(chan int)
	results := map[int]int{}
	var wg sync.WaitGroup
	for w := 0; w < 3; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for job := range work {
				results[job] = job * job
			}
		}()
	}
	for _, job := range jobs {
		work <- job
	}
	close(work)
	wg.Wait()
	return results
}

//gocc:correct CorrectWorkers: workers send, one collects
func CorrectWorkers(jobs []int) map[int]int {
	work := make(chan int)
	squares := make(chan [2]int)
	var wg sync.WaitGroup
	for w := 0; w < 3; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for job := range work {
				squares <- [2]int{job, job * job}
			}
		}()
	}
	go func() {
		for _, job := range jobs {
			work <- job
		}
		close(work)
		wg.Wait()
		close(squares)
	}()
	results := map[int]int{}
	for square := range squares {
		results[square[0]] = square[1]
	}
	return results
}

//gocc:racy RacyContext: a cancelled worker is not a finished one
func RacyContext() int {
	ctx, cancel := context.WithCancel(context.Background())
	progress := map[string]int{}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for ctx.Err() == nil {
			progress["n"]++
		}
		progress["end"] = 1
	}()
	cancel()
	n := progress["n"]
	<-stopped
	return n
}

//gocc:correct CorrectSemaphore: a channel with room for one is a lock
func CorrectSemaphore() int {
	sem := make(chan struct{}, 1)
	m := map[int]int{}
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			sem <- struct{}{}
			m[i] = i
			<-sem
		}()
	}
	wg.Wait()
	return len(m)
}

//gocc:racy RacySemaphore: with room for three it is none
func RacySemaphore() int {
	sem := make(chan struct{}, 3)
	m := map[int]int{}
	var wg sync.WaitGroup
	for i := 0; i < 8; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			sem <- struct{}{}
			m[i] = i
			<-sem
		}()
	}
	wg.Wait()
	return len(m)
}
