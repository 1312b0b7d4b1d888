//go:build go1.23

package main

import "maps"

// Range over functions: the loop's body is a function of its own.
//
//go:noinline
func opIterKeys() (sum int) {
	for k := range maps.Keys(mStr) {
		sum += mStr[k]
	}
	return
}

//go:noinline
func opIterBreak() (seen int) {
	for range maps.Values(mStr) {
		if seen++; seen == 2 {
			break
		}
	}
	return
}

func since123() {
	makeMaps()
	fill()
	mix(uint64(opIterKeys()))
	expect("opIterKeys", "iterate", n+1)
	expect("opIterKeys", "read", n)
	want := 2
	if n < want {
		want = n + 1
	}
	mix(uint64(opIterBreak()))
	expect("opIterBreak", "iterate", want)
}
