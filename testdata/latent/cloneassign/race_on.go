//go:build race

package main

// visible does what the race detector can see of a clone: maps.Clone itself has no annotation (runtime,
// maps_clone), so that `go build -race` is blind to it.
func visible(m map[string]int) (n int) {
	for range m {
		n++
	}
	return n
}
