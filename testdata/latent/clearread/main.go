// Clearread: a cache that a timer empties while a request looks something up, a millisecond later.
//
//gocc:go 1.21 1.27
//gocc:expect latent clear/read
//gocc:variants static stripped race
package main

import (
	"os"
	"sync"
	"time"
)

type cache struct{ pages map[string][]byte }

//go:noinline
func (c *cache) flush() {
	clear(c.pages) //gocc:side clear
}

//go:noinline
func (c *cache) lookup(path string) []byte {
	return c.pages[path] //gocc:side read
}

func main() {
	c := &cache{map[string][]byte{"/": []byte("index"), "/about": []byte("about"), "/help": []byte("help")}}
	var done sync.WaitGroup
	var size int
	done.Add(2)
	go func() {
		defer done.Done()
		c.flush()
	}()
	go func() {
		defer done.Done()
		time.Sleep(time.Millisecond)
		size = len(c.lookup("/about"))
	}()
	done.Wait()
	if size > 5 {
		os.Exit(1)
	}
	os.Stdout.WriteString("done\n")
}
