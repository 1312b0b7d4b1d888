package maps

import "testing"

// What the functions return, with maps and with sync.Maps. Racy as they are, they are run once.
func TestSame(t *testing.T) {
	first, none, known := Faults()
	if first == nil || none != nil || !known {
		t.Error(first, none, known)
	}
	if got := Sizes(); got != 7+4*40+'a' {
		t.Error(got)
	}
	if got := Queue(); got != 4 {
		t.Error(got)
	}
	if got := Pools(); got != 1 {
		t.Error(got)
	}
	if got := Marks(); got < 1 {
		t.Error(got)
	}
}
