// Two goroutines increment a C int through cgo, atomically in C: correct.
// Usage: race_cgo_atomic [increments per goroutine, default 20]
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
	for g := 0; g < 2; g++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; i < count; i++ {
				C.increment()
			}
		}()
	}
	wg.Wait()
	fmt.Println("total", C.total())
}
