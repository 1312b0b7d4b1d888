// Pairs makes two operations collide, in many forms that map operations take in real programs. The
// argument names the case; two goroutines then do its two operations until the runtime notices.
//
//gocc:go 1.18 1.27
//gocc:variants static pie stripped noopt
//gocc:case read-assign read/assign
//gocc:case int-iterate-assign iterate/assign
//gocc:case delete-iterate delete/iterate
//gocc:case reflect read/assign
//gocc:case reflect-iterate iterate/delete
//gocc:case struct-keys assign/delete
//gocc:case interface-keys read/assign
//gocc:case large-values read/assign
//gocc:case deep assign/assign
//gocc:case inlined assign/read
//gocc:case generic assign/iterate
//gocc:case closure assign/assign
//gocc:case method-value assign/delete
//gocc:case deferred delete/assign
//gocc:case clear-read clear/read 1.21
//gocc:case clone-assign clone/assign 1.21
package main

import (
	"os"
	"reflect"
	"runtime"
	"strconv"
	"time"
)

type place struct {
	row int
	tag string
}

type large [1500]byte

var (
	byName   = map[string]int{}
	byNumber = map[int]int{}
	byPlace  = map[place]int{}
	byAny    = map[any]int{}
	byLarge  = map[string]large{}
	sink     int
	names    [64]string
)

// A pair is two functions that are called over and over, each by its own goroutine.
type pair struct {
	a, b func(i int)
}

var pairs = map[string]pair{
	"read-assign":        {readName, assignName},
	"int-iterate-assign": {iterateNumbers, assignNumber},
	"delete-iterate":     {deleteName, iterateNames},
	"reflect":            {reflectRead, reflectAssign},
	"reflect-iterate":    {reflectIterate, reflectDelete},
	"struct-keys":        {assignPlace, deletePlace},
	"interface-keys":     {readAny, assignAny},
	"large-values":       {readLarge, assignLarge},
	"deep":               {deepA, deepB},
	"inlined":            {inlinedPut, inlinedGet},
	"generic":            {genericAssign, genericIterate},
	"closure":            {makeClosure(byName), makeClosure(byName)},
	"method-value":       {store(byName).put, store(byName).drop},
	"deferred":           {deferredDelete, assignNameToo},
}

func name(i int) string { return names[i%len(names)] }

//go:noinline
func readName(i int) {
	if byName[name(i)] < 0 { //gocc:side read read-assign
		panic("negative")
	}
}

//go:noinline
func assignName(i int) {
	byName[name(i)] = i //gocc:side assign read-assign
}

//go:noinline
func assignNameToo(i int) {
	byName[name(i)] = i //gocc:side assign deferred
}

//go:noinline
func iterateNumbers(i int) {
	for k, v := range byNumber { //gocc:side iterate int-iterate-assign
		if k < 0 || v < 0 {
			panic("negative")
		}
	}
}

//go:noinline
func assignNumber(i int) {
	byNumber[i%64] = i //gocc:side assign int-iterate-assign
}

//go:noinline
func deleteName(i int) {
	delete(byName, name(i)) //gocc:side delete delete-iterate
	byName[name(i)] = i     //gocc:side assign delete-iterate
}

//go:noinline
func iterateNames(i int) {
	for k := range byName { //gocc:side iterate delete-iterate
		if k == "" {
			panic("empty")
		}
	}
}

//go:noinline
func reflectRead(i int) {
	v := reflect.ValueOf(byName).MapIndex(reflect.ValueOf(name(i))) //gocc:side read reflect
	if v.IsValid() && v.Int() < 0 {
		panic("negative")
	}
}

//go:noinline
func reflectAssign(i int) {
	reflect.ValueOf(byName).SetMapIndex(reflect.ValueOf(name(i)), reflect.ValueOf(i)) //gocc:side assign reflect
}

//go:noinline
func reflectIterate(i int) {
	iter := reflect.ValueOf(byName).MapRange()
	for iter.Next() { //gocc:side iterate reflect-iterate
		if iter.Key().Len() == 0 {
			panic("empty")
		}
	}
}

//go:noinline
func reflectDelete(i int) {
	key := reflect.ValueOf(name(i))
	reflect.ValueOf(byName).SetMapIndex(key, reflect.Value{})    //gocc:side delete reflect-iterate
	reflect.ValueOf(byName).SetMapIndex(key, reflect.ValueOf(i)) //gocc:side assign reflect-iterate
}

//go:noinline
func assignPlace(i int) {
	byPlace[place{i % 64, "p"}] = i //gocc:side assign struct-keys
}

//go:noinline
func deletePlace(i int) {
	delete(byPlace, place{i % 64, "p"}) //gocc:side delete struct-keys
}

//go:noinline
func readAny(i int) {
	if byAny[i%64] < 0 { //gocc:side read interface-keys
		panic("negative")
	}
}

//go:noinline
func assignAny(i int) {
	byAny[i%64] = i //gocc:side assign interface-keys
}

//go:noinline
func readLarge(i int) {
	v := byLarge[name(i)] //gocc:side read large-values
	if v[0] == 255 {
		panic("255")
	}
}

//go:noinline
func assignLarge(i int) {
	byLarge[name(i)] = large{1} //gocc:side assign large-values
}

// Twenty-five calls deep on both sides.
//
//go:noinline
func descend(depth int, f func(int), i int) {
	if depth == 0 {
		f(i)
		return
	}
	descend(depth-1, f, i)
	runtime.KeepAlive(depth)
}

//go:noinline
func deepAssignA(i int) {
	byName[name(i)] = i //gocc:side assign deep
}

//go:noinline
func deepAssignB(i int) {
	byName[name(i+7)] = i //gocc:side assign deep
}

func deepA(i int) { descend(25, deepAssignA, i) }
func deepB(i int) { descend(25, deepAssignB, i) }

type store map[string]int

// Two levels of calls, both inlined.
func (s store) set(k string, v int) {
	s[k] = v //gocc:side assign inlined
}
func (s store) setBoth(i int) { s.set(name(i), i) }
func (s store) get(k string) int {
	return s[k] //gocc:side read inlined
}

//go:noinline
func inlinedPut(i int) { store(byName).setBoth(i) }

//go:noinline
func inlinedGet(i int) {
	if store(byName).get(name(i)) < 0 {
		panic("negative")
	}
}

//go:noinline
func (s store) put(i int) {
	s[name(i)] = i //gocc:side assign method-value
}

//go:noinline
func (s store) drop(i int) {
	delete(s, name(i)) //gocc:side delete method-value
	s[name(i)] = 1     //gocc:side assign method-value
}

type index[K comparable, V any] struct{ entries map[K]V }

//go:noinline
func (x *index[K, V]) add(k K, v V) {
	x.entries[k] = v //gocc:side assign generic
}

//go:noinline
func (x *index[K, V]) count() (n int) {
	for range x.entries { //gocc:side iterate generic
		n++
	}
	return n
}

var placeIndex = &index[place, int]{byPlace}

func genericAssign(i int) { placeIndex.add(place{i % 64, "g"}, i) }

func genericIterate(i int) {
	if placeIndex.count() < 0 {
		panic("negative")
	}
}

func makeClosure(m map[string]int) func(int) {
	return func(i int) {
		m[name(i)] = i //gocc:side assign closure
	}
}

//go:noinline
func deferredDelete(i int) {
	defer delete(byName, name(i)) //gocc:side delete deferred
	if i < 0 {
		panic("negative")
	} //gocc:side delete deferred
} //gocc:side delete deferred

func loop(f func(int), start int) {
	for i := start; ; i++ {
		f(i)
		if i%256 == 0 {
			runtime.Gosched()
		}
	}
}

func main() {
	if len(os.Args) != 2 {
		os.Stderr.WriteString("usage: pairs CASE\n")
		os.Exit(2)
	}
	since121()
	p, ok := pairs[os.Args[1]]
	if !ok {
		os.Stderr.WriteString("no such case\n")
		os.Exit(2)
	}
	for i := range names {
		names[i] = "name-" + strconv.Itoa(i)
		byName[names[i]], byNumber[i], byPlace[place{i, "p"}] = i, i, i
		byAny[i], byLarge[names[i]] = i, large{}
	}
	go loop(p.a, 1)
	go loop(p.b, 1000)
	time.Sleep(20 * time.Second)
	os.Stderr.WriteString("no death in 20 seconds\n")
	os.Exit(3)
}
