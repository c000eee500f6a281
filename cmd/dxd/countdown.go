package main

import (
	"fmt"
	"time"
)

// countdown is a line on the terminal that says how long something is waited
// for. Nil is one that is not there.
type countdown struct {
	stopping chan struct{}
	gone     chan struct{}
}

// countdown begins to count on a terminal; a log is no place for it.
func (a *app) countdown(what string, until time.Time) *countdown {
	if !isTerminal(a.stderr) {
		return nil
	}
	c := &countdown{make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(c.gone)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			left := max(time.Until(until), 0).Round(time.Second)
			fmt.Fprintf(a.stderr, "\r%s, %d:%02d left (Ctrl-C ends it)\x1b[K", what, left/time.Minute, left%time.Minute/time.Second)
			select {
			case <-tick.C:
			case <-c.stopping:
				fmt.Fprint(a.stderr, "\r\x1b[K") // and the line is free again
				return
			}
		}
	}()
	return c
}

// stop takes the line off the terminal. It may be called twice.
func (c *countdown) stop() {
	if c == nil {
		return
	}
	select {
	case <-c.gone:
	default:
		close(c.stopping)
		<-c.gone
	}
}
