// Reflection: a decoder that fills a map through reflect, while another goroutine reads the same map
// through reflect, 100 microseconds later, to validate it.
//
//gocc:go 1.18 1.27
//gocc:expect latent assign/read
//gocc:variants static stripped race
package main

import (
	"os"
	"reflect"
	"sync"
	"time"
)

//go:noinline
func decodeInto(target any, key, value string) {
	reflect.ValueOf(target).SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(value)) //gocc:side assign
}

//go:noinline
func validate(target any, key string) bool {
	return reflect.ValueOf(target).MapIndex(reflect.ValueOf(key)).IsValid() //gocc:side read
}

// at computes until a moment, without any synchronisation.
func at(moment time.Time) {
	for time.Now().Before(moment) {
	}
}

func main() {
	document := map[string]string{"title": "untitled"}
	// Late enough for both goroutines to have a thread by then.
	start := time.Now()
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		at(start.Add(300 * time.Microsecond))
		decodeInto(document, "author", "nobody")
	}()
	go func() {
		defer done.Done()
		at(start.Add(400 * time.Microsecond))
		if !validate(document, "title") {
			os.Exit(1)
		}
	}()
	done.Wait()
	os.Stdout.WriteString("done\n")
}
