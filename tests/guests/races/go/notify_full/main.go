// Two goroutines are notified of two signals through channels with room for one: signal.Notify does
// not wait for room, so what comes while a channel is full is lost (as is a signal that comes while
// the same one is pending, by the kernel). Correct: each is sent when the one before was counted.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

var correct string // set when linked

func main() {
	var counts [2]int32
	counted := make(chan bool, 8)
	numbers := []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2}
	for i := range numbers {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, numbers[i])
		go func(i int) {
			for range signals {
				atomic.AddInt32(&counts[i], 1)
				counted <- true
			}
		}(i)
	}
	for round := 0; round < 2; round++ {
		for _, number := range numbers {
			syscall.Kill(os.Getpid(), number)
			if correct != "" {
				<-counted
			} else {
				time.Sleep(80 * time.Millisecond)
			}
		}
	}
	fmt.Println(atomic.LoadInt32(&counts[0]), atomic.LoadInt32(&counts[1]))
}
