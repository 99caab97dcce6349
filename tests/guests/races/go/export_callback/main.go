// A thread that C created calls an exported function, which adds to what the main goroutine adds
// to. Correct: under a lock.
package main

// #include "thread.h"
import "C"

import (
	"fmt"
	"sync"
)

var correct string // set when linked

var total int
var lock sync.Mutex

//export add
func add(n C.int) {
	if correct != "" {
		lock.Lock()
		defer lock.Unlock()
	}
	total += int(n)
}

func main() {
	C.start()
	for i := 0; i < 3; i++ {
		add(1)
	}
	C.finish()
	fmt.Println("total", total)
}
