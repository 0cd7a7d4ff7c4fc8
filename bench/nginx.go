package main

import (
	"fmt"
	"net"
	"strings"
)

// nginxConfig makes nginx a site that answers by itself, and a proxy before it, as
// it is usually set up: HTTP/1.1 with connections that are kept.
func nginxConfig(dir, site, proxy string) string {
	return fmt.Sprintf(`daemon off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
worker_processes auto;
worker_rlimit_nofile 20000;
events { worker_connections 16384; }
http {
	access_log off;
	keepalive_requests 1000000;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	upstream site { server %[2]s; keepalive 256; keepalive_requests 1000000; }
	server { listen %[2]s backlog=8192; location / { default_type text/html; return 200 "%[4]s"; } }
	server {
		listen %[3]s backlog=8192;
		location / {
			proxy_pass http://site;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Proto $scheme;
		}
	}
}
`, dir, site, proxy, strings.Repeat("x", 1024))
}

// freeAddresses returns n free ports of this machine. Whoever is quick could take one
// before it is used; then the measurement fails.
func freeAddresses(n int) (found []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		found = append(found, l.Addr().String())
	}
	return found, nil
}
