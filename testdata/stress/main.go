// Stress runs map operations where instrumentation could hurt: in 20,000 goroutines, at every stack
// depth while stacks grow, under a garbage collector that never rests, under a CPU profiler at 1000
// Hz, and while all stacks are being dumped. It has no race. It prints a checksum and exits with 0; 4
// when a dump showed a program counter that the runtime does not know.
//
// usage: stress [GOROUTINES [ROUNDS]]; ROUNDS 0 goes on for ever, for someone to end it with a signal.
// Then it dumps no stacks: a SIGQUIT that comes while a dump is leaving the runtime's print lock
// (printunlock in Go's runtime/print.go, 1.18 to 1.27: the count is down, the lock still held) waits
// for that lock on the thread that holds it, for ever, without any instrumentation as well.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static pie cgo stripped noopt race
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
)

type point struct{ x, y int }

// The maps all goroutines share, each behind its own lock.
const shards = 16

var shared [shards]struct {
	sync.RWMutex
	counts map[string]int
	points map[point]int
}

var (
	stopped int32
	unknown int32
	names   [256]string
)

// own does a few operations on a map that only this goroutine has.
//
//go:noinline
func own(m map[int]int, depth int) int {
	m[depth%13] += depth
	sum := m[depth%13] ^ m[-1]
	if depth%5 == 0 {
		for k, v := range m {
			sum += k ^ v
		}
		delete(m, depth%7)
	}
	return sum
}

// common does a few operations on a shared map. The result does not depend on who comes first.
//
//go:noinline
func common(id, depth int) {
	s := &shared[(id+depth)%shards]
	switch depth % 4 {
	case 0:
		s.Lock()
		s.counts[names[id%256]]++
		s.Unlock()
	case 1:
		s.Lock()
		s.points[point{id % 64, depth % 8}]++
		s.Unlock()
	case 2:
		s.RLock()
		if s.counts[names[depth%256]] < 0 || s.points[point{id % 64, 0}] < 0 {
			panic("negative count")
		}
		s.RUnlock()
	default:
		s.RLock()
		for k, v := range s.points {
			if k.x < 0 || v < 0 {
				panic("negative count")
			}
			break
		}
		s.RUnlock()
	}
}

// descend does map operations at every depth, on the way down and on the way up. The two variants
// have frames of different sizes, so that a stack runs out at many different places.
//
//go:noinline
func descend(m map[int]int, id, depth int) int {
	sum := own(m, depth)
	if depth > 0 {
		if (id+depth)%3 == 0 {
			sum += descendWide(m, id, depth-1)
		} else {
			sum += descend(m, id, depth-1)
		}
	}
	common(id, depth)
	return sum
}

//go:noinline
func descendWide(m map[int]int, id, depth int) int {
	var ballast [24]int
	ballast[depth%24] = own(m, depth)
	sum := 0
	if depth > 0 {
		sum = descend(m, id, depth-1)
	}
	for _, b := range ballast {
		sum += b
	}
	return sum
}

func background(done *sync.WaitGroup, f func()) {
	done.Add(1)
	go func() {
		defer done.Done()
		for atomic.LoadInt32(&stopped) == 0 {
			f()
			runtime.Gosched()
		}
	}()
}

// dump takes the stacks of all goroutines while they run.
func dump(buffer []byte) {
	n := runtime.Stack(buffer, true)
	if bytes.Contains(buffer[:n], []byte("unknown pc")) || bytes.Contains(buffer[:n], []byte("unexpected return pc")) {
		atomic.StoreInt32(&unknown, 1)
	}
}

func round(goroutines int) uint64 {
	for i := range shared {
		shared[i].counts, shared[i].points = map[string]int{}, map[point]int{}
	}
	var all sync.WaitGroup
	var total uint64
	for id := 0; id < goroutines; id++ {
		all.Add(1)
		go func(id int) {
			defer all.Done()
			depth := id % 40
			if id%500 == 0 {
				depth = 400
			}
			m := map[int]int{}
			keep(m)
			atomic.AddUint64(&total, uint64(descend(m, id, depth)))
		}(id)
	}
	all.Wait()
	for i := range shared {
		for _, v := range shared[i].counts {
			total += uint64(v)
		}
		for k, v := range shared[i].points {
			total += uint64(v * (k.x + 3*k.y))
		}
	}
	return total
}

var kept any

// keep makes the compiler put m on the heap.
//
//go:noinline
func keep(m map[int]int) {
	if len(m) > 1000 {
		kept = m
	}
}

func number(position, otherwise int) int {
	if len(os.Args) <= position {
		return otherwise
	}
	n, err := strconv.Atoi(os.Args[position])
	if err != nil {
		fmt.Fprintln(os.Stderr, "usage: stress [GOROUTINES [ROUNDS]]")
		os.Exit(2)
	}
	return n
}

func main() {
	goroutines, rounds := number(1, 20000), number(2, 1)
	for i := range names {
		names[i] = "name-" + strconv.Itoa(i)
	}
	debug.SetGCPercent(debug.SetGCPercent(-1)) // takes GOGC as it is
	runtime.SetCPUProfileRate(1000)
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	var done sync.WaitGroup
	background(&done, runtime.GC)
	if rounds != 0 {
		buffer := make([]byte, 1<<20)
		background(&done, func() { dump(buffer) })
	}
	var sum uint64
	for i := 0; rounds == 0 || i < rounds; i++ {
		sum = sum*31 + round(goroutines)
	}
	atomic.StoreInt32(&stopped, 1)
	done.Wait()
	pprof.StopCPUProfile()
	fmt.Printf("checksum %016x\n", sum)
	if atomic.LoadInt32(&unknown) != 0 {
		fmt.Fprintln(os.Stderr, "a stack dump had a program counter that the runtime does not know")
		os.Exit(4)
	}
}
