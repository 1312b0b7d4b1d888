// Plain uses a map, collects garbage, and reads its own build information: what any rewritten
// executable must still be able to do. Linked with C, it calls C as well.
//
//gocc:go 1.18 1.27
//gocc:variants static pie cgo cgopie cgostatic stripped cgostripped
package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"runtime"
)

func main() {
	m := map[int]int{}
	for i := 0; i < 1000; i++ {
		m[i] = i
	}
	runtime.GC()
	path, _ := os.Executable()
	info, err := buildinfo.ReadFile(path)
	fmt.Println("ran", twice(len(m)), err == nil && info.Path == "gocc.test/fixtures/plain", len(os.Args))
}
