// Load sends requests to testdata/server over a few connections for some seconds, as fast as they are answered, and
// prints what came back: requests a second, and the 99th percentile of how long one took, in microseconds.
//
// usage: load ADDRESS CONNECTIONS SECONDS
//
//gocc:go 1.18 1.27
//gocc:variants static
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"time"
)

// requests sends one request after the other until the time has come, and returns how long each took.
func requests(address string, connection int, end time.Time) ([]time.Duration, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	var took []time.Duration
	for i := 0; time.Now().Before(end); i++ {
		user := (connection*31 + i) % 50
		body := fmt.Sprintf(`{"agent":"load","slot":"%d"}`, user)
		start := time.Now()
		_, err := fmt.Fprintf(conn, "POST /?user=user-%d HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			user, address, len(body), body)
		if err != nil {
			return nil, err
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("answer %s: %v", answer.Status, err)
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

type result struct {
	took []time.Duration
	err  error
}

func main() {
	connections, _ := strconv.Atoi(os.Args[2])
	seconds, _ := strconv.Atoi(os.Args[3])
	start := time.Now()
	end := start.Add(time.Duration(seconds) * time.Second)
	results := make(chan result)
	for c := 0; c < connections; c++ {
		go func(c int) {
			took, err := requests(os.Args[1], c, end)
			results <- result{took, err}
		}(c)
	}
	var all []time.Duration
	for c := 0; c < connections; c++ {
		r := <-results
		if r.err != nil {
			fmt.Fprintln(os.Stderr, r.err)
			os.Exit(1)
		}
		all = append(all, r.took...)
	}
	elapsed := time.Since(start).Seconds()
	sort.Slice(all, func(a, b int) bool { return all[a] < all[b] })
	p99 := all[len(all)*99/100]
	fmt.Printf("%.1f %.1f\n", float64(len(all))/elapsed, float64(p99.Nanoseconds())/1000)
}
