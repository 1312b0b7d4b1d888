package main

import (
	"math"
	"unsafe"
)

//go:noinline
func opRead32() (sum int) {
	for i := 0; i < n; i++ {
		sum += m32[uint32(i)]
	}
	return
}

//go:noinline
func opReadPair() (sum int) {
	for i := 0; i < n; i++ {
		sum += mPair[pair{uint16(i), 1}]
	}
	return
}

//go:noinline
func opRead64() (sum int) {
	for i := 0; i < n; i++ {
		sum += m64[int64(i)]
	}
	return
}

//go:noinline
func opReadPtr() (sum int) {
	for i, p := range pointers {
		sum += mPtr[p] + mUnsafe[unsafe.Pointer(p)] + mChan[channels[i]]
	}
	return
}

//go:noinline
func opReadStr() (sum int) {
	for i := 0; i < n; i++ {
		sum += mStr[key(i)]
	}
	return
}

// A key made of bytes: the compiler reads without copying them.
//
//go:noinline
func opReadBytes() (sum int) {
	k := []byte("key-0")
	for i := 0; i < n; i++ {
		k[4] = '0' + byte(i%10)
		sum += mStr[string(k)]
	}
	return
}

//go:noinline
func opReadNamed() (sum int) {
	for i := 0; i < n; i++ {
		sum += mNamed[named{i, "x"}]
	}
	return
}

//go:noinline
func opReadFloat() (sum int) {
	for i := 0; i < n; i++ {
		sum += mFloat[float64(i)/2] + mFloat[math.NaN()]
	}
	return
}

//go:noinline
func opReadInterface() (sum int) {
	for i := 0; i < n; i++ {
		sum += mAny[i] + mAny[key(i)] + mSpeak[cat(i)] + mSpeak[dog{key(i)}]
	}
	return
}

//go:noinline
func opReadArray() (sum int) {
	for i := 0; i < n; i++ {
		sum += mArray[[3]int{i, i, i}]
	}
	return
}

//go:noinline
func opReadSmallKeys() (sum int) {
	for i := 0; i < n; i++ {
		sum += mByte[byte(i)] + mBool[i%2 == 0] + mCplx[complex(float64(i), 1)]
	}
	return
}

//go:noinline
func opReadBig() (sum int) {
	for i := 0; i < n; i++ {
		b := mBig[uint32(i)]
		sum += int(b[0]) + mBigKey[bigKeyOf(i)]
	}
	return
}

// The value is larger than the runtime's shared zero value: mapaccess1_fat and mapaccess2_fat, which
// call mapaccess1 and mapaccess2 (one operation, not two).
//
//go:noinline
func opReadFat() (sum int) {
	for i := 0; i < n; i++ {
		h := mHuge[key(i)]
		sum += int(h[0])
		h, ok := mHuge["missing"]
		if ok {
			sum += int(h[0])
		}
	}
	return
}

//go:noinline
func opReadMissing() (sum int) {
	for i := 0; i < n; i++ {
		sum += m32[0xffffffff] + m64[-1] + mStr["missing"] + mNamed[named{-1, ""}]
	}
	return
}

//go:noinline
func opReadComma() (sum int) {
	for i := 0; i < n; i++ {
		if v, ok := m32[uint32(i)]; ok {
			sum += v
		}
		if _, ok := m64[int64(i)]; ok {
			sum++
		}
		if _, ok := mStr[key(i)]; ok {
			sum++
		}
		if v, ok := mNamed[named{i, "x"}]; ok {
			sum += v
		}
		if _, ok := mBig[uint32(i)]; ok {
			sum++
		}
		if _, ok := mPtr[pointers[i]]; ok {
			sum++
		}
		if _, ok := mAny["missing"]; ok {
			sum++
		}
	}
	return
}

// A key that cannot be hashed: the operation begins, and panics.
//
//go:noinline
func opReadUnhashable() (sum int) {
	for i := 0; i < n; i++ {
		func() {
			defer func() {
				if recover() != nil {
					sum++
				}
			}()
			sum += mAny[[]int{1}]
		}()
	}
	return
}

func readSections() {
	makeMaps()
	fill()
	for _, f := range []func() int{
		opRead32, opReadPair, opRead64, opReadPtr, opReadStr, opReadBytes, opReadNamed, opReadFloat,
		opReadInterface, opReadArray, opReadSmallKeys, opReadBig, opReadFat, opReadMissing,
		opReadComma, opReadUnhashable,
	} {
		mix(uint64(f()))
	}
	expect("opRead32", "read", n)
	expect("opReadPair", "read", n)
	expect("opRead64", "read", n)
	expect("opReadPtr", "read", 3*n)
	expect("opReadStr", "read", n)
	expect("opReadBytes", "read", n)
	expect("opReadNamed", "read", n)
	expect("opReadFloat", "read", 2*n)
	expect("opReadInterface", "read", 4*n)
	expect("opReadArray", "read", n)
	expect("opReadSmallKeys", "read", 3*n)
	expect("opReadBig", "read", 2*n)
	expect("opReadFat", "read", 2*n)
	expect("opReadMissing", "read", 4*n)
	expect("opReadComma", "read", 7*n)
	expect("opReadUnhashable", "read", n)
}
