package structs

import "testing"

// What the functions return, with maps and with structs. Racy as they are, they are run once.
func TestSame(t *testing.T) {
	title, size := Page()
	if title != "gocc" || size != 4 {
		t.Error(title, size)
	}
	if got := Stats(); got < 1 || got > 4 {
		t.Error(got)
	}
	if got := Latest(); got != "1" {
		t.Error(got)
	}
}
