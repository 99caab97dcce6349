// A buffer is handed to write(2) through unsafe.Pointer and reused after a while that is long
// enough, as a rule. Correct: a channel says when the call has returned.
package main

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

var correct string // set when linked

func main() {
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		panic(err)
	}
	buffer := []byte("first message")
	written := make(chan bool, 1)
	go func() {
		syscall.Syscall(syscall.SYS_WRITE, uintptr(pipe[1]), uintptr(unsafe.Pointer(&buffer[0])),
			uintptr(len(buffer)))
		written <- true
	}()
	if correct != "" {
		<-written
	} else {
		time.Sleep(80 * time.Millisecond)
	}
	copy(buffer, "other")
	got := make([]byte, 32)
	n, err := syscall.Read(pipe[0], got)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(got[:n]))
}
