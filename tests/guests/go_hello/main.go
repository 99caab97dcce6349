// The smallest Go program that prints: no cgo, statically linked.
package main

import "fmt"

func main() {
	fmt.Println("go_hello: ok")
}
