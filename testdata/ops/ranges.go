package main

//go:noinline
func opRangeFull() (sum int) {
	for k, v := range m32 {
		sum += int(k) + v
	}
	for k := range mStr {
		sum += len(k)
	}
	for _, v := range mNamed {
		sum += v
	}
	for range mAny {
		sum++
	}
	return
}

//go:noinline
func opRangeBig() (sum int) {
	for k, v := range mBig {
		sum += int(k) + int(v[0])
	}
	for k := range mBigKey {
		sum += int(k[0])
	}
	return
}

//go:noinline
func opRangeGrown() (sum int) {
	for _, v := range grown {
		sum += v
	}
	return
}

//go:noinline
func opRangeBreak(after int) (seen int) {
	for range mStr {
		if seen++; seen == after {
			break
		}
	}
	return
}

//go:noinline
func opRangeReturn() bool {
	for range m64 {
		return true
	}
	return false
}

// Assigning to keys that are there does not change what is visited.
//
//go:noinline
func opRangeAssign() {
	for k := range m64 {
		m64[k] = 1
	}
}

//go:noinline
func opRangeNested() (sum int) {
	for k := range mStr {
		for j := range m32 {
			sum += len(k) + int(j)
		}
	}
	return
}

//go:noinline
func opRangeEmpty() (sum int) {
	for _, v := range mEmptied {
		sum += v
	}
	for _, v := range mNilStr {
		sum += v
	}
	return
}

var (
	mEmptied      map[string]int
	mEmptied32    map[uint32]int
	mEmptied64    map[int64]int
	mEmptiedNamed map[named]int

	mNilStr map[string]int
	mNilAny map[any]int
	mNil32  map[uint32]int
	mNil64  map[int64]int
)

func rangeSections() {
	makeMaps()
	fill()
	const growTo = 3000
	opGrow(growTo)
	expect("opGrow", "assign", growTo)
	mix(uint64(opRangeFull()))
	expect("opRangeFull", "iterate", 3*(n+1)+2*n+1)
	mix(uint64(opRangeBig()))
	expect("opRangeBig", "iterate", 2*(n+1))
	mix(uint64(opRangeGrown()))
	expect("opRangeGrown", "iterate", growTo+1)
	mix(uint64(opRangeBreak((n + 1) / 2)))
	expect("opRangeBreak", "iterate", (n+1)/2)
	opRangeReturn()
	expect("opRangeReturn", "iterate", 1)
	opRangeAssign()
	expect("opRangeAssign", "iterate", n+1)
	expect("opRangeAssign", "assign", n)
	mix(uint64(opRangeNested()))
	expect("opRangeNested", "iterate", n+1+n*(n+1))
	mEmptied = make(map[string]int, 50)
	mix(uint64(opRangeEmpty()))
	expectEmptyRange("opRangeEmpty", 2)
}

//go:noinline
func opNilRead() (sum int) {
	for i := 0; i < n; i++ {
		sum += mNilStr["a"] + mNil32[1] + mNil64[1] + mNilAny[1]
		if _, ok := mNilStr["a"]; ok {
			sum++
		}
	}
	return
}

//go:noinline
func opNilDelete() {
	for i := 0; i < n; i++ {
		delete(mNilStr, "a")
		delete(mNil32, 1)
		delete(mNil64, 1)
		delete(mNilAny, 1)
	}
}

//go:noinline
func opNilAssign() (panics int) {
	for i := 0; i < n; i++ {
		func() {
			defer func() {
				if recover() != nil {
					panics++
				}
			}()
			mNilStr["a"] = 1
		}()
	}
	return
}

func nilSections() {
	mix(uint64(opNilRead()))
	expectNil("opNilRead", "read", 5*n)
	opNilDelete()
	expectEmptyDelete("opNilDelete", 3*n, n, expectNil)
	mix(uint64(opNilAssign()))
	expectNil("opNilAssign", "assign", n)
}
