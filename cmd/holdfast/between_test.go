package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"sync"
)

// The steps of a hold, as they can be seen between its holder and the gate.
var holdSteps = []string{
	"asked",    // the holder wants to hold; the gate does not know yet
	"draining", // the gate waits for a request that is running
	"held",     // requests are held; the holder does not know yet
	"marking",  // the holder knows
	"marked",   // the holder wants to release; the gate does not know yet
	"released", // requests go on; the holder does not know yet
	"sending",  // the holder knows
}

// between puts itself between an environment's gate and its holders, and calls at with
// each step of a hold before it goes on. It returns the configuration to hold with.
func (g *gated) between(environment string, at func(step string)) (config string) {
	g.t.Helper()
	l, err := net.Listen("unix", g.path(environment+"-x.sock"))
	g.must(err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			holder, err := l.Accept()
			if err != nil {
				return // closed: the test ends
			}
			all.Go(func() { g.passOn(holder, environment, at) })
		}
	})
	g.t.Cleanup(func() { l.Close(); all.Wait() })
	text, err := os.ReadFile(g.path("holdfast.yaml"))
	g.must(err)
	g.write("between.yaml", bytes.Replace(text, []byte(environment+".sock"), []byte(environment+"-x.sock"), 1))
	return g.path("between.yaml")
}

// passOn serves one connection of a holder's.
func (g *gated) passOn(holder net.Conn, environment string, at func(step string)) {
	defer holder.Close()
	lines := bufio.NewReader(holder)
	first, err := lines.ReadString('\n')
	if err != nil {
		return
	}
	holds := strings.Contains(first, `"op":"hold"`)
	if holds {
		at("asked")
	}
	gate, err := net.Dial("unix", g.path(environment+".sock"))
	if err != nil {
		return // it was killed
	}
	defer gate.Close()
	_, _ = io.WriteString(gate, first) // a peer that is gone is found by reading
	if holds {
		at("draining")
	}
	var back sync.WaitGroup
	back.Go(func() {
		defer holder.Close()
		answers := bufio.NewReader(gate)
		for {
			line, err := answers.ReadString('\n')
			if err != nil {
				return
			}
			before, after := answerSteps(line)
			at(before)
			_, _ = io.WriteString(holder, line)
			at(after)
		}
	})
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		if strings.Contains(line, `"op":"release"`) {
			at("marked")
		}
		_, _ = io.WriteString(gate, line)
	}
	gate.Close()
	back.Wait()
}

// answerSteps are the steps before and after the holder gets an answer of the gate's;
// "" for others than those of a hold.
func answerSteps(line string) (before, after string) {
	switch {
	case strings.Contains(line, `"event":"held"`):
		return "held", "marking"
	case strings.Contains(line, `"event":"released"`):
		return "released", "sending"
	}
	return "", ""
}
