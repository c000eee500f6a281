package main

import (
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress is a bar on the terminal. Its methods do nothing where there is no
// terminal: a log is no place for it.
type progress struct {
	mu  sync.Mutex // guards bar, which several transfers move
	bar *progressbar.ProgressBar

	ended     chan struct{} // closed by done; nil without a bar
	following sync.WaitGroup
}

// barPace is how often the bar is drawn.
const barPace = 100 * time.Millisecond

// progress begins a bar up to total bytes; -1 is an unknown total.
func (a *app) progress(what string, total int64) *progress {
	return a.bar(what, total, true)
}

// counting begins a bar up to total of something else.
func (a *app) counting(what string, total int64) *progress { return a.bar(what, total, false) }

func (a *app) bar(what string, total int64, bytes bool) *progress {
	if !isTerminal(a.stderr) {
		return &progress{}
	}
	drawn := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(a.stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(barPace),
		progressbar.OptionClearOnFinish(),
	)
	drawn.StartWithoutRender() // else its first pace is that of no time at all
	return &progress{ended: make(chan struct{}), bar: drawn}
}

// set moves the bar to n bytes.
func (p *progress) set(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Set64(n) // a terminal that can't be drawn on is no reason to stop
	}
}

func (p *progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Add(n) // likewise
	}
}

// hide makes room for a line; the bar comes back when it moves.
func (p *progress) hide() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Clear() // likewise
	}
}

// done takes the bar off the terminal. It may be called twice.
func (p *progress) done() {
	p.clear()
	p.following.Wait()
}

func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		close(p.ended)
		p.bar.Clear() // likewise
		p.bar = nil
	}
}

// follow moves the bar as the file is read, be it by the daemon, to which it was
// handed over: both have one place in it.
func (p *progress) follow(f io.Seeker) {
	if p.ended == nil {
		return
	}
	p.following.Go(func() {
		ticker := time.NewTicker(barPace)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-p.ended:
				return
			}
			if at, err := f.Seek(0, io.SeekCurrent); err == nil {
				p.set(at)
			}
		}
	})
}

// reader moves the bar by what is read through it.
func (p *progress) reader(r io.Reader) io.Reader { return &countedReader{r, p} }

type countedReader struct {
	io.Reader
	p *progress
}

func (c *countedReader) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.p.add(n)
	return n, err
}
