// Two goroutines increment a C int through cgo, under a lock of Go's: correct.
// Usage: race_cgo_locked [increments per goroutine, default 20]
package main

// #include "counter.h"
import "C"

import (
	"fmt"
	"os"
	"strconv"
	"sync"
)

func main() {
	count := 20
	if len(os.Args) > 1 {
		var err error
		if count, err = strconv.Atoi(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for g := 0; g < 2; g++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; i < count; i++ {
				mu.Lock()
				C.increment()
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	fmt.Println("total", C.total())
}
