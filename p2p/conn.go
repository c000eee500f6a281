package p2p

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"dxd/record"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-yamux/v5"
)

// Conn is one stream to a node: a net.Conn whose sending half can be closed by
// itself. One goroutine may read while another writes.
//
// An error is io.EOF after the other side's CloseWrite or Close, of kind
// Timeout and os.ErrDeadlineExceeded after a deadline, and of kind Unavailable
// when the stream was reset or the connection is gone.
type Conn struct {
	stream network.Stream
	rw     io.ReadWriteCloser // the stream, perhaps with its protocol still to be settled
	node   record.NodeID
}

var _ net.Conn = (*Conn)(nil)

func newConn(s network.Stream, rw io.ReadWriteCloser, node record.NodeID) *Conn {
	return &Conn{stream: s, rw: rw, node: node}
}

// Node is the authenticated node at the other end.
func (c *Conn) Node() record.NodeID { return c.node }

// Transport is "tcp" or "quic".
func (c *Conn) Transport() string {
	if isQUIC(c.stream.Conn().RemoteMultiaddr()) {
		return "quic"
	}
	return "tcp"
}

func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.rw.Read(b)
	return n, streamError("read", err)
}

func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.rw.Write(b)
	return n, streamError("write", err)
}

// CloseWrite tells the other side that nothing more will come. What was
// written before is still delivered.
func (c *Conn) CloseWrite() error {
	if f, ok := c.rw.(interface{ Flush() error }); ok {
		if err := f.Flush(); err != nil {
			return streamError("write", err)
		}
	}
	return streamError("close", c.stream.CloseWrite())
}

// Close closes both halves. What was written before is still delivered while
// the connection lasts; whether it arrived only an answer can tell.
func (c *Conn) Close() error {
	// A protocol that is not settled yet is settled first, but not for ever.
	if err := c.stream.SetReadDeadline(time.Now().Add(negotiateTimeout)); err != nil {
		return streamError("close", errors.Join(err, c.stream.Reset()))
	}
	return streamError("close", c.rw.Close())
}

// Reset ends the stream at once; the other side gets an error and not EOF.
func (c *Conn) Reset() error { return streamError("reset", c.stream.Reset()) }

func (c *Conn) LocalAddr() net.Addr  { return netAddr(c.stream.Conn().LocalMultiaddr()) }
func (c *Conn) RemoteAddr() net.Addr { return netAddr(c.stream.Conn().RemoteMultiaddr()) }

func (c *Conn) SetDeadline(t time.Time) error {
	return streamError("set a deadline", c.stream.SetDeadline(t))
}

func (c *Conn) SetReadDeadline(t time.Time) error {
	return streamError("set a deadline", c.stream.SetReadDeadline(t))
}

func (c *Conn) SetWriteDeadline(t time.Time) error {
	return streamError("set a deadline", c.stream.SetWriteDeadline(t))
}

func streamError(what string, err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, yamux.ErrTimeout):
		return record.Errorf(record.Timeout, "couldn't %s in time: %w", what, os.ErrDeadlineExceeded)
	}
	return record.Errorf(record.Unavailable, "couldn't %s: the stream is gone: %v", what, err)
}
