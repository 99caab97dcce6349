// cgo_calls [CALLS]: four goroutines call C, which works and calls back into Go at times.
package main

/*
#include <stdint.h>
uint64_t mix(uint64_t value, int rounds);
*/
import "C"

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

var called atomic.Uint64

//export note
func note(value C.uint64_t) { called.Add(1) }

func main() {
	calls := 4000000
	if len(os.Args) > 1 {
		calls, _ = strconv.Atoi(os.Args[1])
	}
	var wait sync.WaitGroup
	var sum [4]uint64
	for g := range sum {
		wait.Add(1)
		go func(g int) {
			defer wait.Done()
			value := C.uint64_t(g)
			for i := 0; i < calls; i++ {
				value = C.mix(value, 20)
			}
			sum[g] = uint64(value)
		}(g)
	}
	wait.Wait()
	fmt.Printf("%x %x %x %x, %d called back\n", sum[0], sum[1], sum[2], sum[3], called.Load())
}
