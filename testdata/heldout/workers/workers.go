// Package workers has goroutines that do a job together: pools, pipelines, timers, signals.
package workers

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

//gocc:racy RacyPool: every worker stores its results
func RacyPool(inputs []string) map[string]int {
	results := make(map[string]int, len(inputs))
	jobs := make(chan string)
	var wg sync.WaitGroup
	for w := 0; w < 3; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for job := range jobs {
				results[job] = len(job)
			}
		}()
	}
	for _, input := range inputs {
		jobs <- input
	}
	close(jobs)
	wg.Wait()
	return results
}

//gocc:correct CorrectPool: every worker sends, one goroutine stores
func CorrectPool(inputs []string) map[string]int {
	type pair struct {
		job  string
		size int
	}
	jobs, pairs := make(chan string), make(chan pair)
	var wg sync.WaitGroup
	for w := 0; w < 3; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for job := range jobs {
				pairs <- pair{job, len(job)}
			}
		}()
	}
	go func() {
		for _, input := range inputs {
			jobs <- input
		}
		close(jobs)
		wg.Wait()
		close(pairs)
	}()
	results := make(map[string]int, len(inputs))
	for p := range pairs {
		results[p.job] = p.size
	}
	return results
}

//gocc:racy RacyPipeline: one stage fills an index while the next looks things up in it
func RacyPipeline(lines []string) int {
	index := map[string]int{}
	keys := make(chan string, 16)
	go func() {
		defer close(keys)
		for number, line := range lines {
			index[line] = number
			keys <- line
		}
	}()
	total := 0
	for key := range keys {
		total += index[key]
	}
	return total
}

//gocc:correct CorrectPipeline: each map is handed on and not used again
func CorrectPipeline(lines []string) int {
	batches := make(chan map[string]int)
	go func() {
		defer close(batches)
		batch := map[string]int{}
		for number, line := range lines {
			batch[line] = number
			if len(batch) == 2 {
				batches <- batch
				batch = map[string]int{}
			}
		}
		batches <- batch
	}()
	total := 0
	for batch := range batches {
		for _, number := range batch {
			total += number
		}
	}
	return total
}

//gocc:racy RacyTimers: timers remove what the loop adds
func RacyTimers(ids []string) int {
	pending := map[string]bool{}
	for _, id := range ids {
		pending[id] = true
		time.AfterFunc(10*time.Microsecond, func() {
			delete(pending, id)
		})
		time.Sleep(5 * time.Microsecond)
	}
	return len(ids)
}

//gocc:correct CorrectTimers: timers only say what to remove
func CorrectTimers(ids []string) int {
	pending := map[string]bool{}
	expired := make(chan string, len(ids))
	for _, id := range ids {
		pending[id] = true
		time.AfterFunc(10*time.Microsecond, func() { expired <- id })
	}
	for range ids {
		delete(pending, <-expired)
	}
	return len(pending)
}

//gocc:racy RacyTally: parts of a text are counted into one map that is passed around
func RacyTally(texts []string) map[string]int {
	counts := map[string]int{}
	var wg sync.WaitGroup
	wg.Add(len(texts))
	for _, text := range texts {
		go racyTally(text, counts, &wg)
	}
	wg.Wait()
	return counts
}

func racyTally(text string, into map[string]int, wg *sync.WaitGroup) {
	defer wg.Done()
	for _, word := range strings.Fields(text) {
		into[word]++
	}
}

//gocc:correct CorrectTally: each part has a map of its own, merged at the end
func CorrectTally(texts []string) map[string]int {
	parts := make([]map[string]int, len(texts))
	var wg sync.WaitGroup
	wg.Add(len(texts))
	for i, text := range texts {
		go func() {
			defer wg.Done()
			parts[i] = correctTally(text)
		}()
	}
	wg.Wait()
	counts := map[string]int{}
	for _, part := range parts {
		for word, n := range part {
			counts[word] += n
		}
	}
	return counts
}

func correctTally(text string) map[string]int {
	counts := map[string]int{}
	for _, word := range strings.Fields(text) {
		counts[word]++
	}
	return counts
}

// group is what golang.org/x/sync/errgroup is.
type group struct {
	wg   sync.WaitGroup
	once sync.Once
	err  error
}

func (g *group) Go(f func() error) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		if err := f(); err != nil {
			g.once.Do(func() { g.err = err })
		}
	}()
}

func (g *group) Wait() error {
	g.wg.Wait()
	return g.err
}

//gocc:racy RacyGroup: functions of a group share a map
func RacyGroup(names []string) (map[string]bool, error) {
	found := map[string]bool{}
	var g group
	for _, name := range names {
		g.Go(func() error {
			if name == "" {
				return errors.New("no name")
			}
			found[name] = true
			return nil
		})
	}
	return found, g.Wait()
}

//gocc:correct CorrectGroup: the same with a lock
func CorrectGroup(names []string) (map[string]bool, error) {
	var (
		mu    sync.Mutex
		g     group
		found = map[string]bool{}
	)
	for _, name := range names {
		g.Go(func() error {
			if name == "" {
				return errors.New("no name")
			}
			mu.Lock()
			found[name] = true
			mu.Unlock()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return found, nil
}

//gocc:racy RacyDump: a signal prints the state that the main loop changes
func RacyDump(rounds int, send func(), print func(string, int)) {
	state := map[string]int{}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	defer signal.Stop(signals)
	go func() {
		for range signals {
			for name, value := range state {
				print(name, value)
			}
		}
	}()
	for i := 0; i < rounds; i++ {
		state["round"] = i
		send()
	}
}

//gocc:correct CorrectDump: the main loop prints its state itself when a signal comes
func CorrectDump(rounds int, send func(), print func(string, int)) {
	state := map[string]int{}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	defer signal.Stop(signals)
	for i := 0; i < rounds; i++ {
		state["round"] = i
		send()
		select {
		case <-signals:
			for name, value := range state {
				print(name, value)
			}
		default:
		}
	}
}

//gocc:racy RacyEarlyResult: the sum is taken before everybody has finished
func RacyEarlyResult(n int) int {
	squares := map[int]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			mu.Lock()
			defer mu.Unlock()
			squares[i] = i * i
		})
	}
	sum := 0
	for _, square := range squares {
		sum += square
	}
	wg.Wait()
	return sum
}

//gocc:correct CorrectResult: the sum is taken when everybody has finished
func CorrectResult(n int) int {
	squares := map[int]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			mu.Lock()
			defer mu.Unlock()
			squares[i] = i * i
		})
	}
	wg.Wait()
	sum := 0
	for _, square := range squares {
		sum += square
	}
	return sum
}

//gocc:racy RacySemaphore: a semaphore of four lets four in
func RacySemaphore(urls []string) map[string]int {
	statuses := map[string]int{}
	slots := make(chan struct{}, 4)
	var wg sync.WaitGroup
	for _, url := range urls {
		wg.Add(1)
		go func(url string) {
			defer wg.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			statuses[url] = 200
		}(url)
	}
	wg.Wait()
	return statuses
}

//gocc:correct CorrectSemaphore: four may work, and one at a time stores
func CorrectSemaphore(urls []string) map[string]int {
	statuses := map[string]int{}
	slots := make(chan struct{}, 4)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, url := range urls {
		wg.Add(1)
		go func(url string) {
			defer wg.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			mu.Lock()
			defer mu.Unlock()
			statuses[url] = 200
		}(url)
	}
	wg.Wait()
	return statuses
}

//gocc:racy RacyFlag: an atomic counter does not keep others out
func RacyFlag(n int) int {
	visited := map[int]bool{}
	var busy atomic.Int32
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for range 100 {
				busy.Add(1)
				visited[i] = true
				busy.Add(-1)
			}
		})
	}
	wg.Wait()
	return len(visited)
}

//gocc:correct CorrectPublished: a new map is made for every change, and published whole
func CorrectPublished(names []string) int {
	var current atomic.Pointer[map[string]int]
	current.Store(&map[string]int{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i, name := range names {
			next := map[string]int{name: i}
			for key, value := range *current.Load() {
				next[key] = value
			}
			current.Store(&next)
		}
	})
	sum := 0
	for range names {
		for _, value := range *current.Load() {
			sum += value
		}
	}
	wg.Wait()
	return sum
}

//gocc:correct CorrectCondition: a condition variable gives the lock back while it waits
func CorrectCondition(n int) int {
	var mu sync.Mutex
	ready := sync.NewCond(&mu)
	queue := map[int]string{}
	go func() {
		for i := range n {
			mu.Lock()
			queue[i] = "job"
			mu.Unlock()
			ready.Signal()
		}
	}()
	taken := 0
	for i := range n {
		mu.Lock()
		for queue[i] == "" {
			ready.Wait()
		}
		delete(queue, i)
		taken++
		mu.Unlock()
	}
	return taken
}

//gocc:racy RacyMethodValue: a method value is a goroutine here, and called there
type RacyMethodValue struct{ words map[string]int }

func (v *RacyMethodValue) add(word string) { v.words[word]++ }

func (v *RacyMethodValue) Feed(words []string) {
	add := v.add
	var wg sync.WaitGroup
	for _, word := range words {
		wg.Add(1)
		go func() {
			defer wg.Done()
			add(word)
		}()
		add("all")
	}
	wg.Wait()
}

//gocc:correct CorrectMethodValue: the same, and the method has a lock
type CorrectMethodValue struct {
	mu    sync.Mutex
	words map[string]int
}

func (v *CorrectMethodValue) add(word string) {
	v.mu.Lock()
	v.words[word]++
	v.mu.Unlock()
}

func (v *CorrectMethodValue) Feed(words []string) {
	add := v.add
	var wg sync.WaitGroup
	for _, word := range words {
		wg.Add(1)
		go func() {
			defer wg.Done()
			add(word)
		}()
		add("all")
	}
	wg.Wait()
}
