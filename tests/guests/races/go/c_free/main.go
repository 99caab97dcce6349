// C keeps a pointer that Go frees with C.free, and uses it later. Correct: freed after the last use.
package main

/*
#include <stdlib.h>
#include <string.h>

static const char* kept;

static void keep(const char* text) {
  kept = text;
}

static int length(void) {
  return (int)strlen(kept);
}
*/
import "C"

import (
	"fmt"
	"time"
	"unsafe"
)

var correct string // set when linked

func main() {
	text := C.CString("a text that C keeps")
	C.keep(text)
	length := make(chan C.int, 1)
	go func() { length <- C.length() }()
	if correct != "" {
		fmt.Println("length", <-length)
		C.free(unsafe.Pointer(text))
		return
	}
	time.Sleep(80 * time.Millisecond)
	C.free(unsafe.Pointer(text))
	fmt.Println("length", <-length)
}
