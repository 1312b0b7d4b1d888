// Passthrough does one thing that a wrapper must not disturb: it ends in some way, waits for a signal,
// tells its arguments, copies its input, or runs itself as a child that dies of a map conflict.
//
//gocc:go 1.18 1.27
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	counts := map[string]int{}
	for _, arg := range os.Args {
		counts[arg]++
	}
	what := map[string]func(){
		"exit": func() { os.Exit(number()) },
		"kill": func() {
			syscall.Kill(os.Getpid(), syscall.Signal(number()))
			time.Sleep(time.Minute)
		},
		"wait": wait,
		"args": func() { fmt.Printf("%q\n", os.Args) },
		"copy": func() { io.Copy(os.Stdout, os.Stdin) },
		"parent": func() {
			child := exec.Command("/proc/self/exe", "race")
			child.Run()
		},
		"race": race,
	}[os.Args[1]]
	what()
}

func number() int {
	n, _ := strconv.Atoi(os.Args[2])
	return n
}

// wait ends with 40 plus how often it got the signal, half a second after the first.
func wait() {
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("ready")
	<-signals
	got := 1
	for end := time.After(500 * time.Millisecond); ; {
		select {
		case <-signals:
			got++
		case <-end:
			os.Exit(40 + got)
		}
	}
}

// race dies of a conflict, or ends after ten seconds.
func race() {
	shared := map[int]int{}
	for g := 0; g < 4; g++ {
		go func() {
			for i := 0; ; i++ {
				shared[i%64] = i
			}
		}()
	}
	time.Sleep(10 * time.Second)
}
