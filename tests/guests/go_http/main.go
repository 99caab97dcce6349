// go_http SOCKET: an HTTP server on a Unix socket, which answers with a greeting and ends when asked
// for /end.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
)

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var served atomic.Int64
	end := make(chan struct{})
	server := &http.Server{}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		fmt.Fprintf(w, "hello %q\n", r.URL.RawQuery)
	})
	http.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) { close(end) })
	go server.Serve(listener)
	<-end
	server.Shutdown(context.Background())
	fmt.Println("go_http: ok", served.Load() > 0)
}
