//go:build go1.21

package main

import "maps"

//go:noinline
func clearNames(i int) {
	clear(byName)       //gocc:side clear clear-read
	byName[name(i)] = i //gocc:side assign clear-read
}

//go:noinline
func readCleared(i int) {
	if byName[name(i)] < 0 { //gocc:side read clear-read
		panic("negative")
	}
}

//go:noinline
func cloneNames(i int) {
	if len(maps.Clone(byName)) < 0 { //gocc:side clone clone-assign
		panic("negative")
	}
}

//go:noinline
func assignCloned(i int) {
	byName[name(i)] = i //gocc:side assign clone-assign
}

func since121() {
	pairs["clear-read"] = pair{clearNames, readCleared}
	pairs["clone-assign"] = pair{cloneNames, assignCloned}
}
