package prices

import (
	"strconv"
	"sync"
	"testing"
)

func TestSet(t *testing.T) {
	var l List
	l.Set("tea", 3)
	if l.Of("tea") != 3 {
		t.Error(l.Of("tea"))
	}
}

func TestUnknown(t *testing.T) {
	var l List
	if l.Of("tea") != 0 {
		t.Error(l.Of("tea"))
	}
}

func TestSnapshotStays(t *testing.T) {
	var l List
	l.Set("tea", 3)
	before := l.Snapshot()
	l.Set("tea", 4)
	if before["tea"] != 3 {
		t.Error(before)
	}
}

func TestCopyOnWrite(t *testing.T) {
	var l List
	var done sync.WaitGroup
	for g := 0; g < 4; g++ {
		done.Add(2)
		go func() {
			defer done.Done()
			for i := 0; i < 300; i++ {
				l.Set(strconv.Itoa(i%20), i)
			}
		}()
		go func() {
			defer done.Done()
			for i := 0; i < 3000; i++ {
				l.Of(strconv.Itoa(i % 20))
			}
		}()
	}
	done.Wait()
}

func TestHandedOver(t *testing.T) {
	lists := make(chan map[string]int)
	go func() {
		for i := 0; i < 500; i++ {
			m := map[string]int{"tea": i}
			m["coffee"] = i + 1
			lists <- m
		}
		close(lists)
	}()
	for m := range lists {
		m["milk"] = m["tea"] + m["coffee"]
		delete(m, "tea")
	}
}
