package main

import (
	"math"
	"unsafe"
)

//go:noinline
func opDelete32() {
	for i := 0; i < n; i++ {
		delete(m32, uint32(i))
		delete(mPair, pair{uint16(i), 1})
	}
}

//go:noinline
func opDelete64() {
	for i := 0; i < n; i++ {
		delete(m64, int64(i))
	}
}

//go:noinline
func opDeletePtr() {
	for i, p := range pointers {
		delete(mPtr, p)
		delete(mUnsafe, unsafe.Pointer(p))
		delete(mChan, channels[i])
	}
}

//go:noinline
func opDeleteStr() {
	for i := 0; i < n; i++ {
		delete(mStr, key(i))
	}
}

//go:noinline
func opDeleteGeneric() {
	for i := 0; i < n; i++ {
		delete(mNamed, named{i, "x"})
		delete(mAny, i)
		delete(mSpeak, speaker(cat(i)))
		delete(mArray, [3]int{i, i, i})
		delete(mByte, byte(i))
		delete(mBigKey, bigKeyOf(i))
		delete(mBig, uint32(i))
		delete(mHuge, key(i))
	}
}

//go:noinline
func opDeleteMissing() {
	for i := 0; i < n; i++ {
		delete(m32, 0xffffffff)
		delete(m64, -1)
		delete(mStr, "missing")
		delete(mNamed, named{-1, ""})
	}
}

// From an empty map. From 1.24 on the functions for 32-bit, 64-bit and string keys look at Map.used and
// return without calling Map.Delete (internal/runtime/maps/runtime_fast32.go, runtime_mapdelete_fast32),
// so nothing is executed that could be seen; the generic function does call it.
//
//go:noinline
func opDeleteEmpty() {
	for i := 0; i < n; i++ {
		delete(mEmptied, "missing")
		delete(mEmptied32, 1)
		delete(mEmptied64, 1)
		delete(mEmptiedNamed, named{})
	}
}

// expectEmptyDelete notes `fast` deletes with 32-bit, 64-bit or string keys, and `slow` ones with
// others, from maps that are empty.
func expectEmptyDelete(function string, fast, slow int, note func(string, string, int)) {
	if !swiss {
		slow += fast
	}
	note(function, "delete", slow)
}

// Runs when the function returns, through a wrapper that the compiler makes.
//
//go:noinline
func opDeferDelete() {
	mStr["deferred"] = 1
	defer delete(mStr, "deferred")
	mix(uint64(len(mStr)))
}

func deleteSections() {
	opDeleteMissing()
	opDelete32()
	opDelete64()
	opDeletePtr()
	opDeleteStr()
	opDeleteGeneric()
	mEmptied, mEmptied32 = map[string]int{}, make(map[uint32]int, 100)
	mEmptied64, mEmptiedNamed = map[int64]int{}, map[named]int{}
	opDeleteEmpty()
	expectEmptyDelete("opDeleteEmpty", 3*n, n, expect)
	for i := 0; i < n; i++ {
		opDeferDelete()
	}
	mix(uint64(len(m32) + len(m64) + len(mPtr) + len(mStr) + len(mNamed) + len(mAny) + len(mHuge)))
	expect("opDelete32", "delete", 2*n)
	expect("opDelete64", "delete", n)
	expect("opDeletePtr", "delete", 3*n)
	expect("opDeleteStr", "delete", n)
	expect("opDeleteGeneric", "delete", 8*n)
	expect("opDeleteMissing", "delete", 4*n)
	expect("opDeferDelete", "assign", n)
	expect("opDeferDelete", "delete", n)
}

//go:noinline
func opRangeDelete32() {
	for k := range m32 {
		delete(m32, k)
	}
}

//go:noinline
func opRangeDeleteStr() {
	for k := range mStr {
		delete(mStr, k)
	}
}

// A float's == is not reflexive: no compiler makes a clear of this.
//
//go:noinline
func opRangeDeleteFloat() {
	for k := range mFloat {
		delete(mFloat, k)
	}
}

// A loop with another statement in it is a loop.
//
//go:noinline
func opRangeDeleteCounting() (count int) {
	for k := range m64 {
		delete(m64, k)
		count++
	}
	return
}

func clearSections() {
	makeMaps()
	fill()
	mFloat[math.NaN()] = 1 // stays: a NaN is not found again
	expect("clearSections", "assign", 1)
	elements := len(mFloat)
	opRangeDelete32()
	expectRangeDelete("opRangeDelete32", n)
	opRangeDeleteStr()
	expectRangeDelete("opRangeDeleteStr", n)
	opRangeDeleteFloat()
	expect("opRangeDeleteFloat", "iterate", elements+1)
	expect("opRangeDeleteFloat", "delete", elements)
	mix(uint64(opRangeDeleteCounting()))
	expect("opRangeDeleteCounting", "iterate", n+1)
	expect("opRangeDeleteCounting", "delete", n)
	mix(uint64(len(m32) + len(mStr) + len(mFloat) + len(m64)))
}
