// Conflicted is a program with several races on several maps, for reports to have something to show: a
// cache that readers and writers share, counters that a reporter walks while workers delete from them, an
// index of lists that two functions fill. Each worker runs with labels as OpenTelemetry's instrumentation
// sets them. The races go on until the time is up; run it in a mode that keeps the program alive.
//
// usage: conflicted [MILLISECONDS [CPU-PROFILE]]
//
//gocc:go 1.18 1.27
//gocc:expect conflict assign/read assign/assign assign/iterate delete/iterate assign/delete delete/delete delete/read
//gocc:variants static stripped trimpath
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

type item struct {
	name  string
	price int
}

// Cache is read and written without its lock by half of its methods.
type Cache struct {
	mu    sync.Mutex
	items map[string]*item
}

func NewCache() *Cache {
	return &Cache{items: make(map[string]*item)}
}

func (c *Cache) Put(name string, price int) {
	c.items[name] = &item{name, price} //gocc:side assign
}

func (c *Cache) Get(name string) int {
	if found := c.items[name]; found != nil { //gocc:side read
		return found.price
	}
	return 0
}

// Counters counts things by number.
type Counters struct {
	counts map[int]int64
}

func (c *Counters) Add(what int) {
	c.counts[what]++ //gocc:side assign
}

func (c *Counters) Forget(what int) {
	delete(c.counts, what) //gocc:side delete
}

func (c *Counters) Sum() (sum int64) {
	for _, count := range c.counts { //gocc:side iterate
		sum += count
	}
	return sum
}

// Index is filled by two functions.
type Index map[string][]string

func (i Index) byName(name string) {
	i[name] = append(i[name][:0], name) //gocc:side read assign
}

func (i Index) byPrice(price int) {
	i[strconv.Itoa(price)] = nil //gocc:side assign
}

var stop atomic_bool

// atomic.Bool is of Go 1.19.
type atomic_bool struct{ set uint32 }

func (b *atomic_bool) Load() bool { return atomic.LoadUint32(&b.set) != 0 }
func (b *atomic_bool) Store()     { atomic.StoreUint32(&b.set, 1) }

var sink int64

// work does what has nothing to do with maps.
func work(n int) {
	x := int64(n)
	for i := 0; i < 40; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	atomic.AddInt64(&sink, x&1)
}

func run(all *sync.WaitGroup, number int, name string, step func(n int)) {
	all.Add(1)
	span := fmt.Sprintf("%016x", 0xa0+number)
	labels := pprof.Labels("trace_id", fmt.Sprintf("%032x", 0xbeef00+number), "span_id", span, "worker", name)
	go pprof.Do(context.Background(), labels, func(context.Context) {
		defer all.Done()
		for n := 0; !stop.Load(); n++ {
			step(n)
			work(n)
		}
	})
}

func main() {
	milliseconds := 500
	if len(os.Args) > 1 {
		milliseconds, _ = strconv.Atoi(os.Args[1])
	}
	if len(os.Args) > 2 {
		file, err := os.Create(os.Args[2])
		if err == nil {
			err = pprof.StartCPUProfile(file)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		defer pprof.StopCPUProfile()
	}
	cache, counters, index := NewCache(), &Counters{make(map[int]int64, 100)}, Index{}
	names := []string{"apple", "pear", "plum", "fig"}
	var all sync.WaitGroup
	run(&all, 1, "writer", func(n int) { cache.Put(names[n%4], n) })
	run(&all, 2, "reader", func(n int) { cache.Get(names[n%4]) })
	run(&all, 3, "counter", func(n int) { counters.Add(n % 50) })
	run(&all, 4, "forgetter", func(n int) { counters.Forget(n % 50) })
	run(&all, 5, "reporter", func(n int) { counters.Sum() })
	run(&all, 6, "namer", func(n int) { index.byName(names[n%4]) })
	run(&all, 7, "pricer", func(n int) { index.byPrice(n % 9) })
	time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	stop.Store()
	all.Wait()
	fmt.Println("done")
}
