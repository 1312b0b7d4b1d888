//go:build !go1.22

package main

// copiesAppend says that m[k] = append(m[k], v) is a read and an assign in -race builds.
const copiesAppend = true
