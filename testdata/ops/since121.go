//go:build go1.21

package main

import (
	"maps"
	"reflect"
)

//go:noinline
func opClear() {
	clear(m32)
	clear(mStr)
	clear(mNamed)
	clear(mFloat) // takes NaN keys with it
	clear(mEmptied)
}

//go:noinline
func opNilClear() { clear(mNilStr) }

//go:noinline
func opReflectClear(v reflect.Value) { v.Clear() }

//go:noinline
func opClone() (sum int) {
	a, b, c, d := maps.Clone(m64), maps.Clone(mAny), maps.Clone(grown), maps.Clone(mEmptied)
	clones = append(clones, a, b, c, d)
	return len(a) + len(b) + len(c) + len(d)
}

//go:noinline
func opCloneWhileGrowing() (sum int) {
	m := map[int]int{}
	clones = append(clones, m)
	for i := 0; i < cloneSteps; i++ {
		m[i] = i
		sum += len(maps.Clone(m))
	}
	return
}

// The functions of package maps are the standard library's: their operations belong to the caller.
//
//go:noinline
func opStdMaps(dst, src map[string]int) (sum int) {
	maps.Copy(dst, src)
	if maps.Equal(dst, src) {
		sum++
	}
	maps.DeleteFunc(dst, func(k string, v int) bool { return v%2 == 0 })
	return sum + len(dst)
}

const cloneSteps = 300

var clones []any

func since121() {
	makeMaps()
	fill()
	opGrow(700)
	expect("opGrow", "assign", 700)
	mix(uint64(opClone()))
	expect("opClone", "clone", 4)
	mix(uint64(opCloneWhileGrowing()))
	expect("opCloneWhileGrowing", "assign", cloneSteps)
	expect("opCloneWhileGrowing", "clone", cloneSteps)
	dst := map[string]int{}
	clones = append(clones, dst)
	mix(uint64(opStdMaps(dst, mStr)))
	// Copy steps n+1 times and assigns n; Equal steps n+1 times and reads n; DeleteFunc steps n+1
	// times and deletes the even values 0, 2, 4...
	expect("opStdMaps", "iterate", 3*(n+1))
	expect("opStdMaps", "assign", n)
	expect("opStdMaps", "read", n)
	expect("opStdMaps", "delete", (n+1)/2)
	opClear()
	expect("opClear", "clear", 5)
	opNilClear()
	expectNil("opNilClear", "clear", 1)
	opReflectClear(reflect.ValueOf(mAny))
	expect("opReflectClear", "clear", 1)
	mix(uint64(len(m32) + len(mStr) + len(mFloat) + len(mAny)))
}
