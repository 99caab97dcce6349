// Two goroutines let a C function fill one C.CString buffer. Correct: one after the other.
package main

/*
#include <stdlib.h>

static void fill(char* buffer, int length, char first) {
  for (int i = 0; i < length; ++i) buffer[i] = (char)(first + i);
}

static int whole(const char* buffer) {
  for (size_t i = 0; buffer[i] != 0; ++i)
    if (buffer[i] != buffer[0] + (char)i) return 0;
  return 1;
}
*/
import "C"

import (
	"fmt"
	"sync"
	"unsafe"
)

var correct string // set when linked

func main() {
	buffer := C.CString("........")
	defer C.free(unsafe.Pointer(buffer))
	var wait sync.WaitGroup
	var lock sync.Mutex
	for _, first := range []C.char{'A', 'a'} {
		wait.Add(1)
		go func(first C.char) {
			defer wait.Done()
			if correct != "" {
				lock.Lock()
				defer lock.Unlock()
			}
			C.fill(buffer, 8, first)
		}(first)
	}
	wait.Wait()
	fmt.Println("whole", C.whole(buffer))
}
