package main

import "github.com/urfave/cli/v2"

func gateCommand(app *env, do actions) *cli.Command {
	return &cli.Command{
		Name:      "gate",
		Usage:     "hold a site's requests while snapshots are taken and restored",
		ArgsUsage: "[status|release]",
		Description: describe(`Is a reverse proxy between the front, which ends TLS, and the site. While "snapshot
create" marks its points, and "snapshot restore" swaps, requests wait here, in order
and unread, and then go on; none is dropped. Name its control socket in holdfast.yaml:

  gate: unix:/run/holdfast/gate.sock

Without --control it is the gate of the environment there, which it then also recovers;
with --control it needs neither configuration nor repository.

A snapshot that dies, or takes longer than --max-hold, lets the requests go. A restore
that dies does not: visitors wait, and are then answered 503 with Retry-After, until
the environment is whole again, which the gate brings about: --recover.

WebSockets, event streams and health checks of load balancers pass, and what --pass
names. Workers that change data without asking the gate are frozen meanwhile: --freeze.

On SIGTERM it lets running requests finish. With a socket of systemd's it can be
replaced without a dropped connection. "gate status" shows what it does, and "gate
release" lets requests go by force, both by --control or the configuration's gate.`,
			`holdfast gate -e master --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000
holdfast gate --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000 --control unix:/run/holdfast/gate.sock
holdfast gate --upstream h2c://127.0.0.1:9000 --control unix:/run/holdfast/gate.sock --control-group holdfast
holdfast gate --listen :80 --upstream http://127.0.0.1:9000 --control unix:/run/hf.sock --pass /healthz
holdfast gate --upstream http://127.0.0.1:9000 --control unix:/run/hf.sock --freeze cgroup:/sys/fs/cgroup/workers
holdfast gate --upstream http://127.0.0.1:90 --control unix:/run/h --recover 'holdfast -e master snapshot recover'
holdfast gate status --json
holdfast gate release --control unix:/run/holdfast/gate.sock`,
			exitDone, exitFailed, exitUsage, exitInterrupted),
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "listen", Usage: "accept visitors here; may be repeated; not needed with a socket of systemd's", DefaultText: "HOST:PORT"},
			text("upstream", "the site: http:// or h2c://", "URL"),
			text("control", "the control socket, instead of the configuration's", "unix:PATH"),
			text("control-group", "who may use it, beside root and the gate's own user", "GROUP"),
			&cli.IntFlag{Name: "queue", Usage: "requests that wait at most; more are answered 503 (16384)", DefaultText: "N"},
			&cli.DurationFlag{Name: "drain", Usage: "how long running requests may take to finish, at most (5s)", DefaultText: "TIME"},
			&cli.DurationFlag{Name: "max-hold", Usage: "how long requests wait, at most; less than the front waits (10s)", DefaultText: "TIME"},
			&cli.StringSliceFlag{Name: "pass", Usage: "never hold this path, or with / or * at its end all beneath; may be repeated", DefaultText: "PATH"},
			&cli.StringSliceFlag{Name: "freeze", Usage: "freeze cgroup:/PATH (v2) or the process in pid:/PATH; may be repeated", DefaultText: "WHAT"},
			text("before", "run this before freezing, by /bin/sh; if it fails, nothing is held", "COMMAND"),
			text("after", "run this after thawing, whatever happened", "COMMAND"),
			&cli.DurationFlag{Name: "hook-time", Usage: "how long each of these may take (2s)", DefaultText: "TIME"},
			text("recover", "run this when a restore has died, until it succeeds", "COMMAND"),
		},
		Action: perform(app, do.Gate, gateOptions),
	}
}
