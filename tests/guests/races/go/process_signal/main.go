// A signal to the number of a child that another goroutine waits for: after Wait the number is
// nobody's, or another process's. Correct: os.Process.Signal, which Wait excludes.
package main

import (
	"fmt"
	"os/exec"
	"syscall"
)

var correct string // set when linked

func main() {
	child := exec.Command("/bin/true")
	if err := child.Start(); err != nil {
		panic(err)
	}
	sent := make(chan bool)
	go func() {
		if correct != "" {
			child.Process.Signal(syscall.SIGCONT)
		} else {
			syscall.Kill(child.Process.Pid, syscall.SIGCONT)
		}
		sent <- true
	}()
	err := child.Wait()
	<-sent
	fmt.Println(err)
}
