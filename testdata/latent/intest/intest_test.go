// Package intest is a test binary: a test starts two goroutines that share a table; one fills it in, the
// other looks something up, 300 microseconds later. (Two parallel subtests would not do: with
// GOMAXPROCS=1 they run one after the other, in order.)
//
//gocc:go 1.18 1.27
//gocc:expect latent assign/read
//gocc:variants static stripped race
package intest

import (
	"sync"
	"testing"
	"time"
)

type fixtures struct{ users map[string]int }

//go:noinline
func (f *fixtures) add(name string, id int) {
	f.users[name] = id //gocc:side assign
}

//go:noinline
func (f *fixtures) find(name string) int {
	return f.users[name] //gocc:side read
}

func TestUsers(t *testing.T) {
	shared := &fixtures{users: map[string]int{"root": 1}}
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		shared.add("alice", 1000)
	}()
	go func() {
		defer done.Done()
		time.Sleep(300 * time.Microsecond)
		if shared.find("root") != 1 {
			t.Error("root is gone")
		}
	}()
	done.Wait()
}

func TestArithmetic(t *testing.T) {
	if 2+2 != 4 {
		t.Error("2+2")
	}
}
