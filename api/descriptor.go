package api

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"

	"dxd/internal/pagecache"
	"dxd/record"
)

// A caller over the Unix socket may hand over the descriptor of a file along
// with a request (unix(7), SCM_RIGHTS). The document is then read from the file
// and not asked for. A caller offers one only where it waits to be asked for the
// body, so that one of which nothing came, or which is of no use, is sent as
// ever (docs/decisions/0155-a-file-is-handed-over-by-its-descriptor.md).

// descriptorListener accepts connections that may bring one.
type descriptorListener struct{ net.Listener }

func (l descriptorListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if u, ok := c.(*net.UnixConn); ok {
		return &socketConn{UnixConn: u}, nil
	}
	return c, err
}

// socketConn is a connection over the Unix socket.
type socketConn struct {
	*net.UnixConn
	begun bool // http.Server reads from one goroutine at a time

	mu     sync.Mutex // guards what follows
	file   *os.File   // came with the first bytes; nil: none did
	closed bool
}

// Read takes a descriptor that comes with the first bytes. Later ones the kernel
// closes.
func (c *socketConn) Read(p []byte) (int, error) {
	if c.begun {
		return c.UnixConn.Read(p)
	}
	c.begun = true
	rights := make([]byte, syscall.CmsgSpace(4)) // of one
	n, got, _, _, err := c.ReadMsgUnix(p, rights)
	if got > 0 {
		c.keep(descriptors(rights[:got]))
	}
	if errors.Is(err, io.EOF) { // which it wraps, unlike Read
		err = io.EOF
	}
	return n, err
}

// descriptors are those in a control message, all of which are open here now.
func descriptors(control []byte) (all []*os.File) {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if fds, err := syscall.ParseUnixRights(&m); err == nil {
			for _, fd := range fds {
				all = append(all, os.NewFile(uintptr(fd), "document"))
			}
		}
	}
	return all
}

// keep keeps the first if it is an ordinary file, which keeps nobody waiting,
// and closes the others.
func (c *socketConn) keep(files []*os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range files {
		info, err := f.Stat()
		if err == nil && info.Mode().IsRegular() && c.file == nil && !c.closed {
			c.file = f
		} else {
			f.Close() // nothing was written
		}
	}
}

// Close closes the connection, and the file that came over it.
func (c *socketConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.file != nil {
		c.file.Close() // nothing was written
	}
	return c.UnixConn.Close()
}

// handed is the file that the request's document is in, nil if it is in the
// body. It stays open as long as the connection, which ends with the answer
// since the body is not asked for.
func handed(r *http.Request) *handedFile {
	c, ok := r.Context().Value(connKey{}).(*socketConn)
	if !ok || r.Header.Get("Expect") == "" || r.ContentLength < 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	at, err := c.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil
	}
	// One byte more than was announced shows that the file is longer.
	return &handedFile{io.LimitReader(c.file, r.ContentLength+1), at, c}
}

type handedFile struct {
	io.Reader
	at   int64 // where in the file
	conn *socketConn
}

// Read reads as long as the caller is there: one that has gone wants nothing
// to be sent, as if its upload had broken off.
func (h *handedFile) Read(p []byte) (int, error) {
	if h.conn.gone() {
		return 0, record.Errorf(record.Invalid, "the upload broke off")
	}
	n, err := h.Reader.Read(p)
	pagecache.Passed(h.conn.file, h.at, h.at+int64(n))
	h.at += int64(n)
	if err != nil && err != io.EOF {
		err = record.Errorf(record.Invalid, "couldn't read the document: %w", err)
	}
	return n, err
}

// gone tells whether the other side has closed the connection.
func (c *socketConn) gone() bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	var n int
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, _, failed = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	alive := failed == syscall.EAGAIN || failed == syscall.EINTR || failed == nil && n > 0
	return err != nil || !alive
}
