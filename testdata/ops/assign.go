package main

import "unsafe"

// Assignments: they come first and fill the maps that the other sections read.

//go:noinline
func opAssign32() {
	for i := 0; i < n; i++ {
		m32[uint32(i)] = i
	}
}

//go:noinline
func opAssignPair() {
	for i := 0; i < n; i++ {
		mPair[pair{uint16(i), 1}] = i
	}
}

//go:noinline
func opAssign64() {
	for i := 0; i < n; i++ {
		m64[int64(i)] = i
	}
}

//go:noinline
func opAssignPtr() {
	for i, p := range pointers {
		mPtr[p] = i
		mUnsafe[unsafe.Pointer(p)] = i
	}
}

//go:noinline
func opAssignChan() {
	for i, c := range channels {
		mChan[c] = i
	}
}

//go:noinline
func opAssignStr() {
	for i := 0; i < n; i++ {
		mStr[key(i)] = i
	}
}

//go:noinline
func opAssignNamed() {
	for i := 0; i < n; i++ {
		mNamed[named{i, "x"}] = i
	}
}

//go:noinline
func opAssignFloat() {
	for i := 0; i < n; i++ {
		mFloat[float64(i)/2] = i
	}
}

//go:noinline
func opAssignAny() {
	for i := 0; i < n; i++ {
		mAny[i] = i
		mAny[key(i)] = i
	}
}

//go:noinline
func opAssignSpeaker() {
	for i := 0; i < n; i++ {
		mSpeak[cat(i)] = i
		mSpeak[dog{key(i)}] = i
	}
}

//go:noinline
func opAssignArray() {
	for i := 0; i < n; i++ {
		mArray[[3]int{i, i, i}] = i
	}
}

//go:noinline
func opAssignSmallKeys() {
	for i := 0; i < n; i++ {
		mByte[byte(i)] = i
		mBool[i%2 == 0] = i
		mCplx[complex(float64(i), 1)] = i
	}
}

//go:noinline
func opAssignBig() {
	for i := 0; i < n; i++ {
		mBig[uint32(i)] = big{byte(i)}
		mHuge[key(i)] = huge{byte(i)}
		mBigKey[bigKeyOf(i)] = i
	}
}

// A key that is there already: assigned, not inserted.
//
//go:noinline
func opAssignOver() {
	for i := 0; i < n; i++ {
		mStr["key-0"] = i
		mStr["key-0"] = 0
	}
}

//go:noinline
func opOpAssign() {
	for i := 0; i < n; i++ {
		m32[0] += i
		m64[0]++
		mNamed[named{0, "x"}] |= 1
		mStr["key-1"] ^= i
	}
}

//go:noinline
func opDivAssign() {
	for i := 0; i < n; i++ {
		mStr["key-2"] /= 3
		mStr["key-2"] %= 5
	}
}

//go:noinline
func opAppend() {
	for i := 0; i < n; i++ {
		mSlice["a"] = append(mSlice["a"], i, i)
	}
}

//go:noinline
func opAppendOther() {
	for i := 0; i < n; i++ {
		mSlice["b"] = append(mSlice["a"], i) // two keys: a read and an assign
	}
}

//go:noinline
func opSwap() {
	for i := 0; i < n; i++ {
		mStr["key-0"], mStr["key-1"] = mStr["key-1"], mStr["key-0"]
	}
}

//go:noinline
func opAssignFromComma() {
	for i := 0; i < n; i++ {
		var ok bool
		mStr["copied"], ok = m32[uint32(i)]
		if !ok {
			panic("lost a key")
		}
	}
}

//go:noinline
func opAssignReceive(c chan int) {
	for i := 0; i < n; i++ {
		c <- i
		mStr["received"] = <-c
		c <- i
		select {
		case mStr["selected"] = <-c:
		}
	}
}

//go:noinline
func opRangeInto(s []int) {
	for _, mStr["ranged"] = range s {
	}
}

//go:noinline
func opLiteral() map[string]int {
	return map[string]int{"a": 1, "b": 2, "c": n}
}

// A literal of more than 25 entries is assigned in a loop over two arrays.
//
//go:noinline
func opBigLiteral() map[int64]int {
	return map[int64]int{1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 9, 10: 10, 11: 11, 12: 12,
		13: 13, 14: 14, 15: 15, 16: 16, 17: 17, 18: 18, 19: 19, 20: 20, 21: 21, 22: 22, 23: 23, 24: 24,
		25: 25, 26: 26, 27: 27, 28: 28, 29: 29, 30: 30}
}

// Grows from nothing to a few thousand elements, through every doubling (and, in Swiss maps, from the
// single group to a table and through table splits).
//
//go:noinline
func opGrow(count int) {
	for i := 0; i < count; i++ {
		grown[uint64(i)*2654435761] = i
	}
}

var (
	grown    map[uint64]int
	literals []any
)

func makeMaps() {
	m32, mPair, m64 = map[uint32]int{}, map[pair]int{}, make(map[int64]int, 100)
	mPtr, mChan, mUnsafe = map[*int]int{}, map[chan int]int{}, map[unsafe.Pointer]int{}
	mStr, mNamed, mFloat = map[string]int{}, map[named]int{}, map[float64]int{}
	mAny, mSpeak, mArray = map[any]int{}, map[speaker]int{}, map[[3]int]int{}
	mByte, mBool, mCplx = map[byte]int{}, map[bool]int{}, map[complex128]int{}
	mBig, mHuge, mBigKey = map[uint32]big{}, map[string]huge{}, map[bigKey]int{}
	mSlice, mNested = map[string][]int{}, map[string]map[string]int{}
	mPtrVal, mArrVal = map[string]*named{}, map[string][4]int{}
	mEmpty.set = map[string]struct{}{}
	grown = map[uint64]int{}
	pointers, channels = nil, nil
	for i := 0; i < n; i++ {
		pointers = append(pointers, new(int))
		channels = append(channels, make(chan int))
	}
}

func assignSections() {
	const growTo = 5000
	opAssignOver()
	expect("opAssignOver", "assign", 2*n)
	opOpAssign()
	expectOpAssign("opOpAssign", 4*n)
	opDivAssign()
	expect("opDivAssign", "read", 2*n)
	expect("opDivAssign", "assign", 2*n)
	opAppend()
	expect("opAppend", "assign", n)
	if raceEnabled && copiesAppend {
		expect("opAppend", "read", n)
	}
	opAppendOther()
	expect("opAppendOther", "read", n)
	expect("opAppendOther", "assign", n)
	opSwap()
	expect("opSwap", "read", 2*n)
	expect("opSwap", "assign", 2*n)
	opAssignFromComma()
	expect("opAssignFromComma", "read", n)
	expect("opAssignFromComma", "assign", n)
	opAssignReceive(make(chan int, 1))
	expect("opAssignReceive", "assign", 2*n)
	opRangeInto(make([]int, n))
	expect("opRangeInto", "assign", n)
	literals = append(literals, opLiteral(), opBigLiteral())
	expect("opLiteral", "assign", 3)
	expect("opBigLiteral", "assign", 30)
	opGrow(growTo)
	expect("opGrow", "assign", growTo)
	mix(uint64(len(grown) + len(mSlice["a"]) + mStr["key-1"] + m32[0] + m64[0]))
	expect("assignSections", "read", 4)
}

// fill assigns through every kind of key; the maps are empty before.
func fill() {
	opAssign32()
	opAssignPair()
	opAssign64()
	opAssignPtr()
	opAssignChan()
	opAssignStr()
	opAssignNamed()
	opAssignFloat()
	opAssignAny()
	opAssignSpeaker()
	opAssignArray()
	opAssignSmallKeys()
	opAssignBig()
	expect("opAssign32", "assign", n)
	expect("opAssignPair", "assign", n)
	expect("opAssign64", "assign", n)
	expect("opAssignPtr", "assign", 2*n)
	expect("opAssignChan", "assign", n)
	expect("opAssignStr", "assign", n)
	expect("opAssignNamed", "assign", n)
	expect("opAssignFloat", "assign", n)
	expect("opAssignAny", "assign", 2*n)
	expect("opAssignSpeaker", "assign", 2*n)
	expect("opAssignArray", "assign", n)
	expect("opAssignSmallKeys", "assign", 3*n)
	expect("opAssignBig", "assign", 3*n)
}
