//go:build cgo

package main

// #include <stdint.h>
// extern void fromC(uintptr_t table);
// static void throughC(uintptr_t table) { fromC(table); }
import "C"

import "runtime/cgo"

func init() {
	withC = func() {
		m := cgo.NewHandle(table{})
		collide(func() { C.throughC(C.uintptr_t(m)) })
	}
}
