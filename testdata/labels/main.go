// Labels is a net/http server whose handlers run with labels as OpenTelemetry's instrumentation sets
// them, trace_id and span_id. It loads itself. Two handlers share a map without a lock: each request
// notes its own trace under its user's name, and counts the users. What belongs to a request is printed:
// which trace id and span id came to which path.
//
// usage: labels [SECONDS]
//
//gocc:go 1.18 1.27
//gocc:expect conflict assign/read assign/assign assign/iterate
//gocc:variants static stripped
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"
)

var users = make(map[string]string) //gocc:made

type handler func(w http.ResponseWriter, r *http.Request)

// traced does what a middleware does: it runs the handler under the request's labels.
func traced(route string, next handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		labels := pprof.Labels("trace_id", r.Header.Get("Trace"), "span_id", r.Header.Get("Span"), "http.route", route)
		pprof.Do(r.Context(), labels, func(context.Context) { next(w, r) })
	}
}

func login(w http.ResponseWriter, r *http.Request) {
	for i := 0; i < 100; i++ {
		users[r.URL.Query().Get("user")] = "here" //gocc:side assign
	}
}

func whoami(w http.ResponseWriter, r *http.Request) {
	for i := 0; i < 100; i++ {
		if users[r.URL.Query().Get("user")] == "gone" { //gocc:side read
			w.WriteHeader(http.StatusNotFound)
		}
	}
}

func request(client *http.Client, address, route string, number int) error {
	url := "http://" + address + route + "?user=" + strconv.Itoa(number%17)
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return err
	}
	// The path can be told from the ids: a trace of /login has odd digits only.
	odd := "13579bdf"
	if route != "/login" {
		odd = "02468ace"
	}
	id := make([]byte, 48)
	for i := range id {
		id[i] = odd[number>>(3*(i%8))&7]
	}
	request.Header.Set("Trace", string(id[:32]))
	request.Header.Set("Span", string(id[32:]))
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func main() {
	seconds := 1
	if len(os.Args) > 1 {
		seconds, _ = strconv.Atoi(os.Args[1])
	}
	http.Handle("/login", traced("/login", login))
	http.Handle("/whoami", traced("/whoami", whoami))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go http.Serve(listener, nil)
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	var all sync.WaitGroup
	for c := 0; c < 4; c++ {
		all.Add(1)
		go func(c int) {
			defer all.Done()
			client := &http.Client{}
			for n := c + 1; time.Now().Before(end); n += 4 {
				route := "/login"
				if n%2 == 0 {
					route = "/whoami"
				}
				if err := request(client, listener.Addr().String(), route, n); err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
			}
		}(c)
	}
	all.Wait()
	fmt.Println("served")
}
