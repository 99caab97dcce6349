// go_channels [ITEMS]: eight goroutines in a ring hand numbers on over channels.
package main

import (
	"fmt"
	"os"
	"strconv"
)

const stages = 8

func main() {
	items := 1600000
	if len(os.Args) > 1 {
		items, _ = strconv.Atoi(os.Args[1])
	}
	first := make(chan uint64, 4)
	in := first
	for i := 0; i < stages; i++ {
		out := make(chan uint64, 4)
		go func(in <-chan uint64, out chan<- uint64) {
			for x := range in {
				out <- x*6364136223846793005 + 1
			}
			close(out)
		}(in, out)
		in = out
	}
	go func() {
		for i := 0; i < items; i++ {
			first <- uint64(i)
		}
		close(first)
	}()
	var sum uint64
	for x := range in {
		sum = sum*31 + x
	}
	fmt.Printf("%d items, %x\n", items, sum)
}
