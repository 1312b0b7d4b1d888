// Package readers has functions that look at maps: encoders, printers, reflection, package maps.
package readers

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strings"
	"sync"
	"text/template"
)

//gocc:racy RacyMarshal: json.Marshal reads what others write
type RacyMarshal struct {
	mu    sync.Mutex
	stats map[string]int
}

func (r *RacyMarshal) Inc(k string) {
	r.mu.Lock()
	r.stats[k]++
	r.mu.Unlock()
}

func (r *RacyMarshal) JSON() ([]byte, error) { return json.Marshal(r.stats) }

//gocc:correct CorrectMarshal: under the lock
type CorrectMarshal struct {
	mu    sync.Mutex
	stats map[string]int
}

func (r *CorrectMarshal) Inc(k string) {
	r.mu.Lock()
	r.stats[k]++
	r.mu.Unlock()
}

func (r *CorrectMarshal) JSON() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return json.Marshal(r.stats)
}

//gocc:racy RacyPrint: printing is reading
func RacyPrint() string {
	state := map[string]int{"a": 1}
	done := make(chan struct{})
	go func() {
		for i := 0; i < 200; i++ {
			state["a"] = i
		}
		close(done)
	}()
	text := fmt.Sprintf("%v", state)
	<-done
	return text
}

//gocc:correct CorrectPrint: printed when the writer is done
func CorrectPrint() string {
	state := map[string]int{"a": 1}
	done := make(chan struct{})
	go func() {
		state["a"] = 2
		close(done)
	}()
	<-done
	return fmt.Sprintf("%v", state)
}

//gocc:racy RacyTemplate: a template ranges over the map
func RacyTemplate() error {
	data := map[string]int{"a": 1}
	t := template.Must(template.New("t").Parse(`{{range $k, $v := .}}{{$k}}={{$v}}{{end}}`))
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 0; i < 200; i++ {
			data["b"] = i
		}
	}()
	err := t.Execute(io.Discard, data)
	wg.Wait()
	return err
}

//gocc:correct CorrectTemplate: the template gets a copy that was made before
func CorrectTemplate() error {
	data := map[string]int{"a": 1}
	view := maps.Clone(data)
	t := template.Must(template.New("t").Parse(`{{range $k, $v := .}}{{$k}}={{$v}}{{end}}`))
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		data["b"] = 1
	}()
	err := t.Execute(io.Discard, view)
	wg.Wait()
	return err
}

//gocc:racy RacySetMapIndex: reflection writes, too
func RacySetMapIndex() int {
	m := map[string]int{}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		v := reflect.ValueOf(m)
		for i := 0; i < 100; i++ {
			v.SetMapIndex(reflect.ValueOf("k"), reflect.ValueOf(i))
		}
	}()
	n := 0
	for i := 0; i < 100; i++ {
		n += m["k"]
	}
	wg.Wait()
	return n
}

//gocc:correct CorrectSetMapIndex: reflection under the lock
func CorrectSetMapIndex() int {
	m := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		mu.Lock()
		reflect.ValueOf(m).SetMapIndex(reflect.ValueOf("k"), reflect.ValueOf(1))
		mu.Unlock()
	}()
	mu.Lock()
	n := m["k"]
	mu.Unlock()
	wg.Wait()
	return n
}

//gocc:racy RacyMapRange: reflection iterates
func RacyMapRange(m map[string]int) int {
	done := make(chan int)
	go func() {
		n := 0
		for it := reflect.ValueOf(m).MapRange(); it.Next(); {
			n++
		}
		done <- n
	}()
	m["late"] = 1
	return <-done
}

//gocc:racy RacyClone: the clone is taken without the lock
type RacyClone struct {
	mu sync.Mutex
	m  map[string]int
}

func (r *RacyClone) Set(k string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m[k] = 1
}

func (r *RacyClone) Has(k string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.m[k]
	return ok
}

func (r *RacyClone) All() map[string]int { return maps.Clone(r.m) }

//gocc:correct CorrectClone: the clone is taken under it
type CorrectClone struct {
	mu sync.Mutex
	m  map[string]int
}

func (r *CorrectClone) Set(k string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m[k] = 1
}

func (r *CorrectClone) All() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.m)
}

//gocc:racy RacyCopy: maps.Copy writes its first argument
func RacyCopy(parts []map[string]int) map[string]int {
	all := map[string]int{}
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Add(1)
		go func() {
			defer wg.Done()
			maps.Copy(all, part)
		}()
	}
	wg.Wait()
	return all
}

//gocc:correct CorrectCopy: one after the other
func CorrectCopy(parts []map[string]int) map[string]int {
	all := map[string]int{}
	merged := make(chan map[string]int, len(parts))
	for _, part := range parts {
		go func() {
			out := map[string]int{}
			maps.Copy(out, part)
			merged <- out
		}()
	}
	for range parts {
		maps.Copy(all, <-merged)
	}
	return all
}

//gocc:racy RacyUnmarshal: json.Unmarshal writes into the map
func RacyUnmarshal(lines []string) map[string]int {
	all := map[string]int{}
	var wg sync.WaitGroup
	for _, line := range lines {
		wg.Add(1)
		go func() {
			defer wg.Done()
			_ = json.Unmarshal([]byte(line), &all)
		}()
	}
	wg.Wait()
	return all
}

//gocc:correct CorrectUnmarshal: each into its own
func CorrectUnmarshal(lines []string) int {
	sizes := make(chan int)
	for _, line := range lines {
		go func() {
			var own map[string]int
			_ = json.NewDecoder(strings.NewReader(line)).Decode(&own)
			sizes <- len(own)
		}()
	}
	n := 0
	for range lines {
		n += <-sizes
	}
	return n
}

//gocc:racy RacyAny: the map hides in an interface
func RacyAny() {
	var box any = map[string]int{}
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			box.(map[string]int)["k"] = i
		}()
	}
	wg.Wait()
}

//gocc:correct CorrectAny: the interface is only read
func CorrectAny() int {
	var box any = map[string]int{"k": 1}
	sums := make(chan int)
	for i := 0; i < 4; i++ {
		go func() {
			if m, ok := box.(map[string]int); ok {
				sums <- m["k"]
			} else {
				sums <- 0
			}
		}()
	}
	n := 0
	for i := 0; i < 4; i++ {
		n += <-sums
	}
	return n
}
