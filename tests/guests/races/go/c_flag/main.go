// A C global that C writes and Go reads as C.shared_flag, after a while that is long enough, as a
// rule. Correct: a channel says when.
package main

/*
int shared_flag;

static void publish(int value) {
  shared_flag = value;
}
*/
import "C"

import (
	"fmt"
	"time"
)

var correct string // set when linked

func main() {
	done := make(chan bool, 1)
	go func() {
		C.publish(42)
		done <- true
	}()
	if correct != "" {
		<-done
	} else {
		time.Sleep(80 * time.Millisecond)
	}
	fmt.Println("flag", C.shared_flag)
}
