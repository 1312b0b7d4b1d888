// Ops runs every kind of map operation a known number of times and prints, as JSON on one line, how
// many user-level operations each function made. In trace mode the recorded events must equal it.
//
// Every map is reachable from a global, so it lies on the heap; the exceptions are the functions
// named private*, whose maps stay on the goroutine's own stack and must leave no event at all.
//
// What counts as one operation:
//
//   - m[k] as a value, one or two results: one read;
//
//   - m[k] = v, m[k] += v and m[k] = append(m[k], v): one assign (the compiler makes one mapassign
//     call and works through the returned pointer). m[k] /= v and m[k] %= v are one read and one
//     assign, and in -race builds every op-assign is (cmd/compile/internal/walk/order.go, OASOP). So is
//     the append in -race builds up to 1.21 (order.go, OINDEXMAP: the race detector needs the copy);
//
//   - a range over a map of n > 0 elements that runs to its end: n+1 iterator steps, the last of
//     which finds nothing. A loop left at its j-th element: j steps;
//
//   - a range over a nil or empty map: no step up to 1.23 and in noswissmap builds
//     (runtime/map.go, mapiterinit returns before its first mapiternext); one step from 1.24 on, with
//     a nil map in the iterator (runtime/map.go, mapIterStart; internal/runtime/maps, Iter.Init);
//
//   - `for k := range m { delete(m, k) }`: one clear, if the key's type has a reflexive == and the
//     compiler optimises and does not instrument (walk/range.go, isMapClear);
//
//   - maps.Clone: one clone, whatever it does inside.
//
//   - a deferred, started or range-over-func body counts for the function it stands in.
//
// Operations on nil maps are listed apart ("nil": true). Names are given without type arguments and
// without what the compiler appends for closures.
//
//gocc:go 1.18 1.27
//gocc:expect operations
//gocc:variants static pie cgo cgopie cgointernal cgostatic stripped strippedpie strip noopt race v3 noswissmap fips trimpath
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
)

type operation struct {
	function, kind string
	count          int
	onNil          bool
}

var (
	expected []operation
	checksum uint64
	n        = 7
)

// expect notes that a function makes `count` operations of a kind.
func expect(function, kind string, count int) {
	expected = append(expected, operation{function, kind, count, false})
}

// expectNil is expect for operations on nil maps.
func expectNil(function, kind string, count int) {
	expected = append(expected, operation{function, kind, count, true})
}

// expectEmptyRange notes `count` ranges over nil or empty maps.
func expectEmptyRange(function string, count int) {
	if swiss {
		expectNil(function, "iterate", count)
	}
}

// expectOpAssign notes `count` statements m[k] op= v whose operator is not / or %.
func expectOpAssign(function string, count int) {
	if raceEnabled {
		expect(function, "read", count)
	}
	expect(function, "assign", count)
}

// expectRangeDelete notes one loop that deletes each of `elements` entries it visits.
func expectRangeDelete(function string, elements int) {
	if optimised && !raceEnabled {
		expect(function, "clear", 1)
		return
	}
	expect(function, "iterate", elements+1)
	expect(function, "delete", elements)
}

// mix folds a result into the checksum, by the place it is called from but not by map order.
func mix(v uint64) {
	checksum = (checksum ^ v) * 1099511628211
}

func mixString(s string) {
	for i := 0; i < len(s); i++ {
		mix(uint64(s[i]))
	}
}

func key(i int) string { return "key-" + strconv.Itoa(i) }

func main() {
	if len(os.Args) > 1 {
		v, err := strconv.Atoi(os.Args[1])
		if err != nil || v < 1 {
			fmt.Fprintln(os.Stderr, "usage: ops [COUNT]")
			os.Exit(2)
		}
		n = v
	}
	for _, section := range []func(){
		readSections, assignSections, deleteSections, clearSections, rangeSections, nilSections,
		reflectSections, genericSections, shapeSections, privateSections, deepSections,
		goroutineSections, since121, since123,
	} {
		section()
	}
	report()
}

func report() {
	sort.SliceStable(expected, func(i, j int) bool {
		a, b := expected[i], expected[j]
		if a.function != b.function {
			return a.function < b.function
		}
		return a.kind < b.kind
	})
	fmt.Printf(`{"go":%q,"swiss":%t,"race":%t,"checksum":"%016x","operations":[`,
		runtime.Version(), swiss, raceEnabled, checksum)
	sep := ""
	for i := 0; i < len(expected); {
		e := expected[i]
		for i++; i < len(expected) && expected[i].function == e.function &&
			expected[i].kind == e.kind && expected[i].onNil == e.onNil; i++ {
			e.count += expected[i].count
		}
		fmt.Printf(`%s{"function":"main.%s","operation":%q,"count":%d,"nil":%t}`,
			sep, e.function, e.kind, e.count, e.onNil)
		sep = ","
	}
	fmt.Println("]}")
}
