//go:build go1.26 || (go1.24 && goexperiment.swissmap)

package main

// swiss says which map implementation the runtime was built with.
const swiss = true
