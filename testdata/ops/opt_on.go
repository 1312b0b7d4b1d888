//go:build !gocc_noopt

package main

// optimised is false in builds with -gcflags=-N, which the build script marks with a tag.
const optimised = true
