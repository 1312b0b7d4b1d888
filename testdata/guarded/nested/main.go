// Nested: operations within operations. Goroutines range over one map and assign to another in the
// body, crosswise, clone, copy and compare them; none has a lock.
//
//gocc:go 1.21 1.27
//gocc:expect survives
//gocc:expect conflict assign/assign assign/iterate assign/clone delete/iterate delete/clone assign/delete
//gocc:variants static stripped
package main

import (
	"maps"
	"os"
	"reflect"
	"runtime"
	"sync"
)

const (
	workers = 3 // of each kind
	rounds  = 500
	keys    = 60
)

type table map[int]int

//go:noinline
func pour(from, to table) {
	for k, v := range from { //gocc:side iterate
		to[k] = v + 1 //gocc:side assign
		if k%7 == 0 {
			delete(from, k+1) //gocc:side delete
		}
	}
}

//go:noinline
func snapshot(m table) int {
	return len(maps.Clone(m)) //gocc:side clone
}

//go:noinline
func reflected(m table, i int) (n int) {
	v := reflect.ValueOf(m)
	for iter := v.MapRange(); iter.Next(); { //gocc:side iterate
		if iter.Key().Int() == int64(i) {
			v.SetMapIndex(iter.Key(), reflect.ValueOf(i)) //gocc:side assign
		}
		n++
	}
	return n
}

//go:noinline
func refill(m table, i int) {
	for k := 0; k < keys; k++ {
		m[k+i%2*keys] = k //gocc:side assign
	}
}

func repeat(done *sync.WaitGroup, f func(i int)) {
	defer done.Done()
	for i := 0; i < rounds; i++ {
		f(i)
		runtime.Gosched()
	}
}

func main() {
	a, b := table{}, table{}
	refill(a, 0)
	refill(b, 0)
	var done sync.WaitGroup
	kinds := []func(i int){
		func(i int) { pour(a, b) },
		func(i int) { pour(b, a) },
		func(i int) { snapshot(a); snapshot(b) },
		func(i int) { reflected(a, i%keys) },
		func(i int) { refill(b, i) },
	}
	for _, f := range kinds {
		for w := 0; w < workers; w++ {
			done.Add(1)
			go repeat(&done, f)
		}
	}
	done.Wait()
	os.Stdout.WriteString("survived\n")
}
