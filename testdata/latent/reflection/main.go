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

// busy waits for a moment and then computes for a while, without any synchronisation. What a thread
// stands still does not count, so that two of them that go on at the same moment stay apart.
func busy(from time.Time, d time.Duration) {
	for time.Now().Before(from) {
	}
	for last := time.Now(); d > 0; {
		now := time.Now()
		step := now.Sub(last)
		if step > time.Microsecond {
			step = time.Microsecond
		}
		last, d = now, d-step
	}
}

func main() {
	document := map[string]string{"title": "untitled"}
	// Late enough for both goroutines to have a thread by then.
	start := time.Now().Add(2 * time.Millisecond)
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		busy(start, 0)
		decodeInto(document, "author", "nobody")
	}()
	go func() {
		defer done.Done()
		busy(start, 100*time.Microsecond)
		if !validate(document, "title") {
			os.Exit(1)
		}
	}()
	done.Wait()
	os.Stdout.WriteString("done\n")
}
