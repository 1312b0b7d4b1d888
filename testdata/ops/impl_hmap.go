//go:build !go1.24 || (!go1.26 && !goexperiment.swissmap)

package main

// swiss says which map implementation the runtime was built with.
const swiss = false
