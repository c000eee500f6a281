package main

import (
	"fmt"
	"io"
	"time"

	"dxd/record"
)

// narrator tells what happens, each step with the time that it took.
type narrator struct {
	out  io.Writer
	step int
}

// do tells what is about to happen, does it, and says how long it took.
func (n *narrator) do(what string, work func() error) error {
	n.step++
	fmt.Fprintf(n.out, "%2d. %s\n", n.step, what)
	begun := time.Now()
	if err := work(); err != nil {
		return err
	}
	n.say("done in %s", time.Since(begun).Round(time.Millisecond))
	return nil
}

// say tells a detail of the step.
func (n *narrator) say(format string, args ...any) {
	fmt.Fprintf(n.out, "    %s\n", record.Printable(fmt.Sprintf(format, args...), 1000))
}

func (n *narrator) line(format string, args ...any) { fmt.Fprintf(n.out, format+"\n", args...) }
