// Faults does map operations while something goes wrong around it, or makes something go wrong itself. The
// argument says which. What it prints does not depend on the moment.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static pie cgo cgopie cgostatic
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	lock    sync.Mutex
	shared  = map[string]int{}
	ballast [][]byte
)

//go:noinline
func work(rounds int) int {
	own := map[int]int{}
	for i := 0; i < rounds; i++ {
		own[i%97] += i
		lock.Lock()
		shared[strconv.Itoa(i%31)]++
		lock.Unlock()
		delete(own, i%53)
	}
	sum := 0
	for k, v := range own {
		sum += k ^ v
	}
	return sum
}

var ways = map[string]func(arguments []string){
	"until":    until,
	"threads":  threads,
	"execself": execSelf,
	"files":    files,
	"memory":   memory,
	"nilread":  nilRead,
	"unequal":  unequal,
	"vfork":    vfork,
	"deep":     func([]string) { fmt.Println(deep(0)) },
	"where":    where,
	"mapped":   mapped,
	"signal":   signal,
}

// until works in eight goroutines until a file is there, and then says how.
func until(arguments []string) {
	fmt.Println("working")
	var group sync.WaitGroup
	for g := 0; g < 8; g++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				work(2000)
				if _, err := os.Stat(arguments[0]); err == nil {
					return
				}
			}
		}()
	}
	group.Wait()
	fmt.Println("done", work(1000))
}

// threads has each of many goroutines on a thread of its own, all at once.
func threads(arguments []string) {
	count, _ := strconv.Atoi(arguments[0])
	debug.SetMaxThreads(count + 1000)
	var ready, end sync.WaitGroup
	release := make(chan bool)
	sums := make([]int, count)
	for i := 0; i < count; i++ {
		ready.Add(1)
		end.Add(1)
		go func(i int) {
			runtime.LockOSThread()
			defer end.Done()
			sums[i] = work(20)
			ready.Done()
			<-release
			sums[i] += work(20)
		}(i)
	}
	ready.Wait()
	fmt.Println("threads", count)
	close(release)
	end.Wait()
	total := 0
	for _, sum := range sums {
		total += sum
	}
	fmt.Println(total)
}

// execSelf becomes itself, again and again.
func execSelf(arguments []string) {
	left, _ := strconv.Atoi(arguments[0])
	fmt.Println("left", left, work(500))
	if left > 0 {
		path, err := os.Executable()
		if err == nil {
			err = syscall.Exec(path, []string{os.Args[0], "execself", strconv.Itoa(left - 1)}, os.Environ())
		}
		fmt.Println(err)
	}
}

// files opens files until there are no more descriptors.
func files(arguments []string) {
	var open []*os.File
	for {
		file, err := os.Open("/dev/null")
		if err != nil {
			fmt.Println(err)
			break
		}
		open = append(open, file)
	}
	fmt.Println(work(5000))
	_, err := exec.Command("/bin/true").Output()
	fmt.Println(err != nil, len(open) > 10)
}

// memory takes memory until there is none.
func memory(arguments []string) {
	work(1000)
	for {
		block := make([]byte, 16<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		ballast = append(ballast, block)
		shared[strconv.Itoa(len(ballast))] = len(block)
	}
}

type table struct{ entries map[string]int }

//go:noinline
func (t *table) get(key string) int { return t.entries[key] }

// nilRead follows a nil pointer, with and without somebody to recover.
func nilRead(arguments []string) {
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		var t *table
		t.get("x")
	}()
	fmt.Println(work(100))
	debug.SetPanicOnFault(true)
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		entries := map[*int]int{}
		var p *int
		entries[p] = *p
	}()
	var t *table
	t.get("y")
}

// unequal panics inside map operations: keys that cannot be hashed or compared.
func unequal(arguments []string) {
	m := map[any]int{}
	for i := 0; i < 300; i++ {
		func() {
			defer func() {
				if recover() == nil {
					fmt.Println("no panic")
				}
			}()
			switch i % 3 {
			case 0:
				m[[]int{i}] = i
			case 1:
				fmt.Println(m[func() {}])
			case 2:
				delete(m, any(map[int]int{}))
			}
		}()
		m[i] = i
	}
	fmt.Println(len(m), work(100))
	m[[1]any{[]string{"x"}}] = 1
}

// vfork has children made by clone(CLONE_VFORK), as os/exec does, while other goroutines work.
func vfork(arguments []string) {
	stop := make(chan bool)
	var group sync.WaitGroup
	for g := 0; g < 4; g++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				select {
				case <-stop:
					return
				default:
					work(500)
				}
			}
		}()
	}
	for i := 0; i < 30; i++ {
		out, err := exec.Command("/bin/echo", strconv.Itoa(i)).Output()
		if err != nil || strings.TrimSpace(string(out)) != strconv.Itoa(i) {
			fmt.Println("child", i, err, string(out))
		}
	}
	close(stop)
	group.Wait()
	fmt.Println("children ended")
}

// deep does map operations at every depth of a stack of 100 MB.
func deep(depth int) int {
	var room [200]byte
	room[depth%200] = 1
	if depth == 300000 {
		return work(10)
	}
	if depth%1000 == 0 {
		lock.Lock()
		shared["deep"]++
		lock.Unlock()
	}
	return deep(depth+1) + int(room[(depth+1)%200])
}

// where waits to be looked at, inside a function with a name.
func where(arguments []string) {
	fmt.Println("working")
	go waitHere()
	for {
		work(1000)
		if len(arguments) > 0 {
			if _, err := os.Stat(arguments[0]); err == nil {
				fmt.Println("done")
				return
			}
		}
	}
}

// mapped has a file of its own mapped that is cut off: the bus errors are the program's own.
func mapped(arguments []string) {
	file, err := os.CreateTemp("", "faults")
	if err == nil {
		os.Remove(file.Name())
		err = file.Truncate(1 << 16)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	bytes, err := syscall.Mmap(int(file.Fd()), 0, 1<<16, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		fmt.Println(err)
		return
	}
	bytes[5000] = 1
	fmt.Println(bytes[5000], work(100), file.Truncate(0))
	debug.SetPanicOnFault(true)
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		bytes[5000] = 2
	}()
	debug.SetPanicOnFault(false)
	fmt.Println(work(100))
	bytes[5000] = 3
}

// signal sends the program the signal of a bus error where there is none.
func signal(arguments []string) {
	fmt.Println(work(100))
	syscall.Kill(syscall.Getpid(), syscall.SIGBUS)
	time.Sleep(time.Hour)
}

//go:noinline
func waitHere() { time.Sleep(time.Hour) }

func main() {
	f, ok := ways[os.Args[1]]
	if !ok {
		fmt.Fprintln(os.Stderr, "no such fault")
		os.Exit(64)
	}
	f(os.Args[2:])
}
