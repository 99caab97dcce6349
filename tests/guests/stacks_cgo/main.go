// Stacks for tests of the unwinder: breakpoints, or system calls, in Go and in C that call each
// other.
// Usage: stacks_cgo descend|write|callback|foreign|panic|park|grow|allocate|preempt
// Park, grow and preempt go on for ever: a test takes away a breakpoint to go on, and what other
// threads do meanwhile is missed.
package main

// #include "descend.h"
import "C"

import (
	"os"
	"runtime"
	"time"
)

var sink int

//export goDescend
func goDescend(n C.int) {
	if n == 0 && os.Args[1] == "callback" {
		runtime.Breakpoint() // in the callback
	}
	C.descend(n) // to C
	sink++
}

//export goAsksForOutput
func goAsksForOutput() bool {
	return os.Args[1] == "write"
}

//export goForeign
func goForeign() {
	runtime.Breakpoint() // in goForeign
	sink++
}

//go:noinline
func dereference(p *int) int {
	defer inDeferred()
	return *p // nil
}

func inDeferred() {
	runtime.Breakpoint() // in inDeferred
	sink++
}

//go:noinline
func park(c chan int) {
	<-c // parks
	sink++
}

//go:noinline
func grow(n int) int {
	var room [1000]int
	room[n%1000] = n
	if n == 0 {
		return room[1]
	}
	return grow(n-1) + room[n%1000] // grows
}

//go:noinline
func allocate(size int) []byte {
	return make([]byte, size) // allocates
}

//go:noinline
func spin() {
	for sink >= 0 {
		sink &= 0xffff // spins
	}
}

func main() {
	switch os.Args[1] {
	case "descend", "callback", "write":
		C.descend(4) // from main
	case "foreign":
		C.on_another_thread()
	case "panic":
		dereference(nil)
	case "park":
		c := make(chan int)
		go func() {
			for {
				c <- 1
			}
		}()
		for {
			park(c)
		}
	case "grow":
		for {
			done := make(chan int)
			go func() { done <- grow(100) }()
			<-done
		}
	case "allocate":
		sink += len(allocate(1 << 28))
	case "preempt":
		go spin()
		for {
			time.Sleep(time.Millisecond)
			runtime.GC()
		}
	}
}
