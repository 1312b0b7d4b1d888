// Started prints when its main function begins, in nanoseconds since 1970.
//
//gocc:go 1.18 1.27
//gocc:variants static
package main

import (
	"fmt"
	"time"
)

func main() {
	fmt.Println(time.Now().UnixNano())
}
