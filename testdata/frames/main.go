// Frames prints its own call stacks twice, from many kinds of callers: as the raw return addresses
// that a walk along the frame pointers finds, and as runtime.CallersFrames names them.
//
//	main ADDRESS                   entry of main.main, to tell the load bias
//	type ADDRESS NAME              a type descriptor and its name
//	stack NAME                     a new stack
//	return ADDRESS SLOT            a return address and where on the stack it lies
//	frame PC LINE FUNCTION<TAB>FILE
//
//gocc:go 1.18 1.27
//gocc:variants static stripped strippedpie externalpie noopt race
package main

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"unsafe"
)

func framePointer() uintptr

type slot struct{ address, at uintptr }

// Under -race, checkptr would refuse the addresses on the stack.
//
//go:noinline
//go:nocheckptr
func report(name string) {
	var slots [64]slot
	count := 0
	// The first frame is that of the ABI wrapper, if it has one, or of report itself.
	for fp := framePointer(); fp != 0 && count < len(slots); count++ {
		slots[count] = slot{*(*uintptr)(unsafe.Pointer(fp + 8)), fp + 8}
		fp = *(*uintptr)(unsafe.Pointer(fp))
	}
	var pcs [64]uintptr
	found := runtime.Callers(1, pcs[:])
	fmt.Println("stack", name)
	for _, s := range slots[:count] {
		fmt.Printf("return %#x %#x\n", s.address, s.at)
	}
	frames := runtime.CallersFrames(pcs[:found])
	for {
		frame, more := frames.Next()
		fmt.Printf("frame %#x %d %s\t%s\n", frame.PC, frame.Line, frame.Function, frame.File)
		if !more {
			break
		}
	}
}

func inlinedOnce(name string)  { report(name) }
func inlinedTwice(name string) { inlinedOnce(name) }

func generic[T any](value T, name string) { report(name + fmt.Sprintf("-%T", value)) }

//go:noinline
func genericKept[K comparable, V any](m map[K]V, name string) { report(name) }

type cache[K comparable] struct{ entries map[K]int }

//go:noinline
func (c *cache[K]) put(key K, name string) {
	c.entries[key]++
	report(name)
}

type small struct{ n int }

func (s small) method(name string) { report(name) }

type middle struct{ small }
type large struct {
	pad [4]int
	*middle
}
type reporter interface{ method(name string) }

//go:noinline
func callInterface(r reporter, name string) { r.method(name) }

//go:noinline
func callValue(f func(string), name string) { f(name) }

//go:noinline
func deferred(name string) {
	defer report(name)
	runtime.Gosched()
}

//go:noinline
func deferredInLoop(name string) {
	for i := 0; i < 2; i++ {
		defer inlinedOnce(name)
	}
}

//go:noinline
func whilePanicking(name string) {
	defer func() { recover() }()
	defer inlinedTwice(name)
	panic(name)
}

//go:noinline
func recursive(depth int, name string) {
	if depth == 0 {
		inlinedTwice(name)
		return
	}
	recursive(depth-1, name)
}

func stacks() {
	report("direct")
	inlinedTwice("inlined")
	generic(7, "generic")
	generic("x", "generic")
	genericKept(map[string][]int{}, "generic kept")
	(&cache[string]{map[string]int{}}).put("k", "generic method")
	func() { inlinedOnce("closure") }()
	func() { func() { report("nested closure") }() }()
	callValue(func(name string) { inlinedTwice(name) }, "closure value")
	callValue(small{1}.method, "method value")
	callValue((&middle{}).method, "promoted method value")
	callInterface(small{2}, "interface")
	callInterface(&small{3}, "interface through pointer")
	callInterface(&middle{}, "interface promoted")
	callInterface(large{middle: &middle{}}, "interface promoted twice")
	callValue(reporter(&middle{}).method, "interface method value")
	callValue(func(n string) { small.method(small{}, n) }, "method expression")
	deferred("deferred")
	deferredInLoop("deferred in a loop")
	whilePanicking("panicking")
	recursive(5, "recursive")
	strings.Map(func(r rune) rune { report("through the library"); return r }, "x")
	reflect.ValueOf(small{}).MethodByName("Exported").Call([]reflect.Value{reflect.ValueOf("reflection")})
	done := make(chan bool)
	go func() { inlinedTwice("goroutine"); done <- true }()
	<-done
	go started("goroutine with arguments", done)
	<-done
}

func (s small) Exported(name string) { s.method(name) }

//go:noinline
func started(name string, done chan bool) {
	inlinedOnce(name)
	done <- true
}

func describe(values ...interface{}) {
	for _, value := range values {
		descriptor := *(*uintptr)(unsafe.Pointer(&value))
		fmt.Printf("type %#x %s\n", descriptor, reflect.TypeOf(value))
	}
}

func main() {
	fmt.Printf("main %#x\n", reflect.ValueOf(main).Pointer())
	describe(1, "", map[string]*small{}, map[int][]string{}, cache[string]{}, &cache[int]{}, []large{},
		map[small]map[string]bool{}, struct{ A int }{}, func(int) error { return nil }, map[[4]byte]struct{}{})
	stacks()
}
