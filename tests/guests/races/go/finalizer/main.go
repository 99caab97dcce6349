// A finalizer and a goroutine that is notified of a signal add to one counter. Correct: under a
// lock.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
)

var correct string // set when linked

var counter int
var lock sync.Mutex

func count() {
	if correct != "" {
		lock.Lock()
		defer lock.Unlock()
	}
	counter++
}

type resource struct {
	name [64]byte
}

//go:noinline
func leave(done chan bool) {
	r := new(resource)
	r.name[0] = 'r'
	runtime.SetFinalizer(r, func(*resource) {
		count()
		done <- true
	})
}

func main() {
	signals := make(chan os.Signal, 1)
	done := make(chan bool)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		<-signals
		count()
		done <- true
	}()
	leave(done)
	runtime.GC()
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	<-done
	<-done
	fmt.Println("counter", counter)
}
