// Channels, mutexes, select, timers, garbage collection, and a goroutine that never yields: with one
// P the program can end only if the runtime preempts that goroutine by SIGURG.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

type node struct {
	next    *node
	payload [64]byte
}

func check(condition bool, what string) {
	if !condition {
		fmt.Fprintln(os.Stderr, "go_goroutines:", what)
		os.Exit(1)
	}
}

func channels() {
	numbers, squares := make(chan int), make(chan int, 4)
	go func() {
		defer close(numbers)
		for i := 1; i <= 100; i++ {
			numbers <- i
		}
	}()
	var workers sync.WaitGroup
	for w := 0; w < 4; w++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for n := range numbers {
				squares <- n * n
			}
		}()
	}
	go func() {
		workers.Wait()
		close(squares)
	}()
	sum := 0
	for s := range squares {
		sum += s
	}
	check(sum == 338350, "sum of squares")
}

func mutexes() {
	var mu sync.Mutex
	var once sync.Once
	var wg sync.WaitGroup
	counts, starts := map[int]int{}, 0
	for g := 0; g < 8; g++ {
		wg.Add(1)
		go func(g int) {
			defer wg.Done()
			once.Do(func() { starts++ })
			for i := 0; i < 100; i++ {
				mu.Lock()
				counts[i%10]++
				mu.Unlock()
				if i%25 == g {
					runtime.Gosched()
				}
			}
		}(g)
	}
	wg.Wait()
	check(starts == 1, "sync.Once")
	for i := 0; i < 10; i++ {
		check(counts[i] == 80, "count under a mutex")
	}
}

func selects() {
	ticks, done := make(chan int), make(chan struct{})
	go func() {
		for i := 0; i < 10; i++ {
			ticks <- i
		}
		close(done)
	}()
	seen := 0
	for finished := false; !finished; {
		select {
		case <-ticks:
			seen++
		case <-done:
			finished = true
		case <-time.After(10 * time.Second):
			check(false, "select timed out")
		}
	}
	check(seen == 10, "ticks received")
	select {
	case <-ticks:
		check(false, "a value from nowhere")
	case <-time.After(time.Millisecond):
	}
}

func garbage() {
	var keep *node
	for i := 0; i < 20000; i++ {
		n := &node{next: keep}
		n.payload[0] = byte(i)
		if i%100 == 0 {
			keep = n
		}
	}
	runtime.GC()
	length := 0
	for n := keep; n != nil; n = n.next {
		length++
	}
	check(length == 200, "live list after a collection")
}

func nilDereference() {
	defer func() { check(recover() != nil, "no panic from a nil dereference") }()
	var n *node
	fmt.Fprintln(os.Stderr, n.payload[0])
}

func preemption() {
	runtime.GOMAXPROCS(1)
	go func() {
		for {
		}
	}()
	time.Sleep(5 * time.Millisecond)
}

func main() {
	channels()
	mutexes()
	selects()
	garbage()
	nilDereference()
	preemption()
	fmt.Println("go_goroutines: ok")
}
