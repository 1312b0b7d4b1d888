// Exits ends in the ways a Go program can end, and does a few things whose outcome an instrumented
// program must not change. The argument says which.
//
//gocc:go 1.18 1.27
//gocc:expect clean
//gocc:variants static pie cgo stripped
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"time"
)

var table = map[string]int{"a": 1, "b": 2}

//go:noinline
func use(key string) int {
	table[key]++
	return table[key]
}

type broken struct{ table map[string]int }

//go:noinline
func (b *broken) add(key string) { b.table[key]++ }

func recurse(n int) int { return recurse(n+1) + use("r") }

var ways = map[string]func(){
	"zero":      func() { fmt.Println("fine", use("a")) },
	"seven":     func() { fmt.Println("seven", use("a")); os.Exit(7) },
	"panic":     func() { use("a"); panic("on purpose") },
	"nilmap":    func() { (&broken{}).add("x") },
	"nilstruct": func() { var b *broken; b.add("x") },
	"hash":      func() { m := map[any]int{}; table["x"] = len(m); fmt.Println(m[[]int{1}]) },
	"overflow":  func() { fmt.Println(recurse(use("a"))) },
	"deadlock":  func() { use("a"); select {} },
	"goexit":    func() { go use("a"); runtime.Goexit() },
	"term":      func() { use("a"); kill(syscall.SIGTERM) },
	"segv":      func() { use("a"); kill(syscall.SIGSEGV) },
	"recover":   recovered,
	"signal":    signalled,
	"echo":      echo,
	"args":      func() { fmt.Printf("%q\n", os.Args[1:]) },
	"env":       environment,
	"child":     child,
	"quit":      func() { use("a"); kill(syscall.SIGQUIT) },
}

// kill sends the signal to this very thread. Sent to the process, it goes to any thread that does not
// block it just then (six of 3,000 SIGSEGVs did, on a busy machine), and the traceback begins with that thread's goroutine.
func kill(number syscall.Signal) {
	runtime.LockOSThread()
	syscall.Tgkill(os.Getpid(), syscall.Gettid(), number)
	time.Sleep(10 * time.Second)
}

func recovered() {
	defer func() { fmt.Println("recovered:", recover(), use("b")) }()
	(&broken{}).add("x")
}

func signalled() {
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println("got", <-arrived, use("b"))
}

func echo() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(strings.ToUpper(lines.Text()), use("a"))
	}
}

func environment() {
	var all []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "GOCC=") {
			all = append(all, entry)
		}
	}
	sort.Strings(all)
	fmt.Println(strings.Join(all, "\n"))
}

// child runs this executable again, twice at once, and waits for both.
func child() {
	var started []*exec.Cmd
	for i := 0; i < 2; i++ {
		c := exec.Command(os.Args[0], "zero")
		c.Stdout, c.Stderr = nil, os.Stderr
		if err := c.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		started = append(started, c)
	}
	for _, c := range started {
		if err := c.Wait(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("children done", use("a"))
}

func main() {
	way := "zero"
	if len(os.Args) > 1 {
		way = os.Args[1]
	}
	f, ok := ways[way]
	if !ok {
		fmt.Fprintln(os.Stderr, "no such way to end")
		os.Exit(64)
	}
	f()
}
