// Package structs has maps of known keys: what gocc scan --prefer struct must say is before each.
package structs

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

//gocc:fix a typed struct with a field for each goroutine, pageValues in 5 places
func Page() (string, int) {
	page := map[string]any{"title": "", "page-size": 0}
	var wg sync.WaitGroup
	wg.Go(func() { page["title"] = "gocc" })
	wg.Go(func() { page["page-size"] = 4 + page["page-size"].(int) })
	wg.Wait()
	size, _ := page["page-size"].(int)
	return fmt.Sprint(page["title"]), size
}

//gocc:fix a typed struct under a lock, statsValues and statsMu in 4 places
func Stats() int {
	stats := map[string]any{"count": 0, "seen": time.Now()}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			stats["count"] = stats["count"].(int) + 1
			stats["seen"] = time.Now()
		})
	}
	wg.Wait()
	n, ok := stats["count"].(int)
	if !ok {
		return -1
	}
	return n
}

//gocc:fix a typed struct under a lock, latestValues and latestMu in 4 places
var latest = map[string]any{"id": 0, "user_name": "nobody"}

func Latest() string {
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			latest["id"] = i
			latest["user_name"] = fmt.Sprint(i)
		})
	}
	wg.Wait()
	latest = map[string]any{"id": 1, "user_name": "last"}
	return fmt.Sprint(latest["id"])
}

//gocc:fix (no struct: a key is not a constant
func Dynamic(keys []string) {
	dynamic := map[string]any{}
	var wg sync.WaitGroup
	for _, key := range keys {
		wg.Go(func() { dynamic[key] = 1 })
	}
	wg.Wait()
}

//gocc:fix (no struct: the type of "a" is not known, or it has several
func Several() {
	several := map[string]any{"a": 1}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { several["a"] = "one" })
	}
	wg.Wait()
}

//gocc:fix (no struct: "a" is read where it may not be set
func Unset() int {
	unset := map[string]any{}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { unset["a"] = i })
	}
	wg.Wait()
	return unset["a"].(int)
}

//gocc:fix (no struct: all its keys are looked at
func Ranged() (n int) {
	ranged := map[string]any{"a": 1}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { ranged["a"] = i })
	}
	wg.Wait()
	for range ranged {
		n++
	}
	return n
}

//gocc:fix json.Marshal looks into its values
func Written() []byte {
	written := map[string]any{"a": 1}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { written["a"] = i })
	}
	wg.Wait()
	text, _ := json.Marshal(written)
	return text
}
