package main

// static int twice(int x) { return 2 * x; }
import "C"

func twice(n int) int { return int(C.twice(C.int(n))) }
