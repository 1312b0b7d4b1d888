package stock

import (
	"strconv"
	"sync"
	"testing"
)

func TestPut(t *testing.T) {
	s := New()
	s.Put("nail", 5)
	if s.Get("nail") != 5 {
		t.Error(s.Get("nail"))
	}
}

func TestReserve(t *testing.T) {
	s := New()
	s.Put("nail", 1)
	if !s.Reserve("nail") || s.Reserve("nail") {
		t.Error("there was one nail")
	}
}

func TestList(t *testing.T) {
	s := New()
	for i := 0; i < 50; i++ {
		s.Put(strconv.Itoa(i), 2)
	}
	if s.List() != 100 {
		t.Error(s.List())
	}
}

func TestReadersAndWriters(t *testing.T) {
	s := New()
	var done sync.WaitGroup
	for g := 0; g < 4; g++ {
		done.Add(2)
		go func() {
			defer done.Done()
			for i := 0; i < 2000; i++ {
				s.Put(strconv.Itoa(i%32), 1)
			}
		}()
		go func() {
			defer done.Done()
			for i := 0; i < 200; i++ {
				s.List()
			}
		}()
	}
	done.Wait()
	if s.List() != 8000 {
		t.Error(s.List())
	}
}

// Filled by one goroutine, then only read.
func TestFilledOnce(t *testing.T) {
	s := New()
	for i := 0; i < 100; i++ {
		s.Put(strconv.Itoa(i), i)
	}
	var done sync.WaitGroup
	for g := 0; g < 8; g++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for i := 0; i < 1000; i++ {
				if s.items[strconv.Itoa(i%100)] != i%100 {
					t.Error(i)
				}
			}
		}()
	}
	done.Wait()
}

// Races: Reserve writes while List ranges.
func TestReserveWhileListing(t *testing.T) {
	s := New()
	for i := 0; i < 64; i++ {
		s.Put(strconv.Itoa(i), 1000)
	}
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		for i := 0; i < 100000; i++ {
			s.Reserve(strconv.Itoa(i % 64))
		}
	}()
	go func() {
		defer done.Done()
		for i := 0; i < 2000; i++ {
			s.List()
		}
	}()
	done.Wait()
}
