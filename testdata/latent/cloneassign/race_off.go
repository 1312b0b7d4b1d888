//go:build !race

package main

func visible(m map[string]int) int { return len(m) }
