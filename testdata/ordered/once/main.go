// Once: many goroutines want a table; the first to come fills it inside a sync.Once, all read it.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static stripped race
package main

import (
	"os"
	"strconv"
	"sync"
)

const (
	tables  = 60
	askers  = 8
	entries = 12
)

type lazy struct {
	once    sync.Once
	entries map[string]int
}

func (l *lazy) fill() {
	l.entries = map[string]int{}
	for i := 0; i < entries; i++ {
		l.entries["entry-"+strconv.Itoa(i)] = i
	}
}

func (l *lazy) get(name string) int {
	l.once.Do(l.fill)
	return l.entries[name]
}

func ask(l *lazy) {
	for i := 0; i < entries; i++ {
		if l.get("entry-"+strconv.Itoa(i)) != i {
			os.Exit(1)
		}
	}
}

func main() {
	var all [tables]lazy
	var done sync.WaitGroup
	for i := range all {
		for a := 0; a < askers; a++ {
			done.Add(1)
			go func(l *lazy) {
				defer done.Done()
				ask(l)
			}(&all[i])
		}
	}
	done.Wait()
	os.Stdout.WriteString("done\n")
}
