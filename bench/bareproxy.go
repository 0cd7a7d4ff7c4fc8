package main

import (
	"flag"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/signal"
)

// bareProxy is what this program calls itself for: Go's own reverse proxy before a
// site and nothing else, beside which the gate is measured.
func bareProxy(args []string) error {
	flags := flag.NewFlagSet("bench bareproxy", flag.ContinueOnError)
	listen := flags.String("listen", "", "accept here")
	site := flags.String("site", "", "HOST:PORT")
	if err := flags.Parse(args); err != nil {
		return err
	}
	signal.Reset() // main waits for them to end a measurement; this ends by them
	target := &url.URL{Scheme: "http", Host: *site}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 1024
	transport.DisableCompression = true
	return http.ListenAndServe(*listen, &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
	})
}
