//go:build cgo

package main

/*
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

// A child made by fork in C: it must not come back to Go, whose other threads it lacks.
static int fork_and_exit(int code) {
	pid_t child = fork();
	if (child == 0) _exit(code);
	int status = 0;
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

static int vfork_and_exec(void) {
	pid_t child = vfork();
	if (child == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(99);
	}
	int status = 0;
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

static int *volatile nowhere;
static int crash(void) { return *nowhere; }
*/
import "C"

import "fmt"

func init() {
	ways["cfork"] = func([]string) {
		sum := 0
		for i := 0; i < 40; i++ {
			sum += int(C.fork_and_exit(C.int(i))) + int(C.vfork_and_exec())
			work(200)
		}
		fmt.Println(sum)
	}
	ways["ccrash"] = func([]string) { work(100); fmt.Println(C.crash()) }
}
