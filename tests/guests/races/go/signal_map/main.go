// A map is changed for each signal and by the main goroutine: fatal error: concurrent map writes.
// Correct: under a lock.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

var correct string // set when linked

var counts = map[string]int{}
var lock sync.Mutex

func count(what string) {
	if correct != "" {
		lock.Lock()
		defer lock.Unlock()
	}
	counts[what]++
}

func main() {
	signals := make(chan os.Signal, 1)
	counted := make(chan bool)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		<-signals
		count("signals")
		counted <- true
	}()
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	for i := 0; i < 3; i++ {
		count("rounds")
	}
	<-counted
	fmt.Println(len(counts))
}
