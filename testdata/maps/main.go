// Maps uses every struct of the runtime whose layout gocc reads, so that DWARF describes them all.
//
//gocc:go 1.17 1.27
//gocc:variants static stripped strippedpie externalpie noswissmap race cshared plugin lockranking
package main

import "fmt"

func main() {
	m := map[string]int{"a": 1, "b": 2}
	for k, v := range m {
		if v > 1 {
			delete(m, k)
		}
	}
	fmt.Println(len(m))
}
