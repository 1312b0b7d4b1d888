//go:build cgo

package main

// #include <stdint.h>
import "C"

import "runtime/cgo"

// fromC is called by C, which Go has called.
//
//export fromC
func fromC(handle C.uintptr_t) {
	m := cgo.Handle(handle).Value().(table)
	m[here("cgo")] = 1
	m[2] = 2
}
