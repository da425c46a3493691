// A hello of Go's fasthttp, as a peer of /qrcode: the same 13 bytes for every request.
// Built by `cargo xtask bench` with Debian's golang-github-valyala-fasthttp-dev.
package main

import (
	"log"
	"os"

	"github.com/valyala/fasthttp"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: fasthttp IP:PORT")
	}
	server := &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetContentType("text/plain")
			ctx.WriteString("Hello, World!")
		},
		ReadBufferSize: 64 << 10,
	}
	log.Fatal(server.ListenAndServe(os.Args[1]))
}
