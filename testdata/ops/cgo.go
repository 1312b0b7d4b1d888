//go:build gocc_cgo

package main

// Links with the system's linker and the C library.
import "C"
