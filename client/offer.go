package client

import (
	"context"
	"math"
	"net"
	"net/http"
	"os"
	"sync"
)

// A file on this machine need not go through the socket: its descriptor is
// offered along with the request (unix(7), SCM_RIGHTS), and the daemon reads it
// itself. The body is sent only if it is asked for, as by a daemon that takes no
// descriptor.

// offerAbove is from how many bytes on that is worth a connection of its own.
const offerAbove = 1 << 20

// offered is the file that can be handed over in place of the body; nil if it
// is none, or too small.
func (b *body) offered() *os.File {
	f, ok := b.src.(*os.File)
	if !ok || b.size < offerAbove {
		return nil
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	return f
}

// offer is http.Client.Do for a request that offers the file.
func (c *Client) offer(f *os.File) func(*http.Request) (*http.Response, error) {
	return (&http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				conn, err := c.dial(ctx, addr)
				if err != nil {
					return nil, err
				}
				return &offering{Conn: conn, file: f}, nil
			},
			ExpectContinueTimeout: math.MaxInt64, // the daemon takes the file, or asks
			DisableKeepAlives:     true,
			DisableCompression:    true,
		},
		CheckRedirect: c.http.CheckRedirect,
	}).Do
}

// offering sends the file's descriptor with its first bytes.
type offering struct {
	net.Conn
	file *os.File
	once sync.Once
}

func (o *offering) Write(p []byte) (n int, err error) {
	o.once.Do(func() { n, err = passFile(o.Conn, p, o.file) })
	if err != nil || n == len(p) {
		return n, err
	}
	m, err := o.Conn.Write(p[n:])
	return n + m, err
}
