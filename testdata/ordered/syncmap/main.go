// Syncmap: a sync.Map, which up to Go 1.23 holds two ordinary maps inside, one of them read without a
// lock.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static stripped race
package main

import (
	"os"
	"sync"
)

const (
	workers = 5
	rounds  = 300
	keys    = 50
)

func work(m *sync.Map, id int) {
	for i := 0; i < rounds; i++ {
		k := (id*7 + i) % keys
		switch i % 5 {
		case 0:
			m.Store(k, i)
		case 1:
			m.LoadOrStore(k+keys, i)
		case 2:
			m.Delete(k + keys)
		default:
			if v, ok := m.Load(k); ok && v.(int) < 0 {
				os.Exit(1)
			}
		}
		if i%60 == 0 {
			m.Range(func(k, v any) bool { return k.(int) >= 0 })
		}
	}
}

func main() {
	var m sync.Map
	var done sync.WaitGroup
	for id := 0; id < workers; id++ {
		done.Add(1)
		go func(id int) {
			defer done.Done()
			work(&m, id)
		}(id)
	}
	done.Wait()
	os.Stdout.WriteString("done\n")
}
