package api_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dxd/api/apitype"
	"dxd/client"
)

// handOver sends the head of a request that announces a document, with
// descriptors, and never its body.
func (h *house) handOver(t *testing.T, path, framing string, files ...*os.File) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: strings.TrimPrefix(h.unix, "unix:")})
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	check(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	_, _, err = conn.WriteMsgUnix([]byte("POST "+path+" HTTP/1.1\r\nHost: localhost\r\n"+framing+"\r\n"), syscall.UnixRights(fds...), nil)
	check(t, err)
	return conn
}

// answer reads what comes, and what it says of the document.
func answer(t *testing.T, conn net.Conn) (status int, s apitype.Submitted) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	check(t, err)
	raw := readAll(t, io.LimitReader(resp.Body, max(resp.ContentLength, 0)))
	if resp.StatusCode == http.StatusCreated {
		check(t, json.Unmarshal(raw, &s))
	}
	return resp.StatusCode, s
}

// fileOf makes a file with this content, open for reading.
func fileOf(t *testing.T, content []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "document")
	check(t, os.WriteFile(path, content, 0o600))
	return opened(t, path, os.O_RDONLY)
}

func opened(t *testing.T, path string, how int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, how, 0)
	check(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func hexOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

const (
	toBob = "/v1/transfers?to=bob&name=x"
	waits = "Expect: 100-continue\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
)

func TestAFileIsReadFromItsDescriptor(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	content := pattern(3 << 20)
	for name, v := range map[string]struct {
		path string
		skip int64 // read already
	}{
		"a document":             {toBob, 0},
		"the rest of a document": {toBob + "&request_id=rest", 1000},
		"a message":              {"/v1/messages?to=bob", 0},
	} {
		f := fileOf(t, content)
		_, err := f.Seek(v.skip, io.SeekStart)
		check(t, err)
		want := content[v.skip:]
		status, got := answer(t, h.handOver(t, v.path, fmt.Sprintf(waits, len(want)), f))
		if status != http.StatusCreated || got.SHA256 != hexOf(want) || got.Size != int64(len(want)) {
			t.Errorf("%s: %d, %d bytes", name, status, got.Size)
		}
		if at, err := f.Seek(0, io.SeekCurrent); err != nil || at != int64(len(content)) {
			t.Errorf("%s: the file was read up to %d (%v)", name, at, err)
		}
	}
}

// What is of no use is no reason to refuse: the body is asked for.
func TestOtherDescriptorsAreNotRead(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	file := func() *os.File { return fileOf(t, pattern(1000)) }
	end, pipe, err := os.Pipe()
	check(t, err)
	t.Cleanup(func() { end.Close(); pipe.Close() })
	for name, v := range map[string]struct {
		framing string
		files   []*os.File
		status  int
	}{
		"none":                     {fmt.Sprintf(waits, 1000), nil, 100},
		"a pipe":                   {fmt.Sprintf(waits, 1000), []*os.File{pipe}, 100},
		"a directory":              {fmt.Sprintf(waits, 1000), []*os.File{opened(t, t.TempDir(), os.O_RDONLY)}, 100},
		"a device":                 {fmt.Sprintf(waits, 1000), []*os.File{opened(t, "/dev/zero", os.O_RDONLY)}, 100},
		"for a body of no length":  {"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", []*os.File{file()}, 100},
		"what can't be read":       {fmt.Sprintf(waits, 1000), []*os.File{opened(t, file().Name(), os.O_WRONLY)}, 400},
		"a file that is too short": {fmt.Sprintf(waits, 1001), []*os.File{file()}, 400},
		"a file that is too long":  {fmt.Sprintf(waits, 999), []*os.File{file()}, 400},
		"a file":                   {fmt.Sprintf(waits, 1000), []*os.File{file()}, 201},
		"more than one":            {fmt.Sprintf(waits, 1000), []*os.File{file(), pipe, pipe, file()}, 201},
		"one behind a pipe":        {fmt.Sprintf(waits, 1000), []*os.File{pipe, file()}, 201},
		"a file, and nobody waits": {"Content-Length: 0\r\n", []*os.File{file()}, 201},
	} {
		conn := h.handOver(t, toBob, v.framing, v.files...)
		if status, _ := answer(t, conn); status != v.status {
			t.Errorf("%s: %d, not %d", name, status, v.status)
		}
		conn.Close()
	}
	check(t, pipe.Close())
	h.stop()
	check(t, end.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := end.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("descriptors of a pipe stay open (%v)", err)
	}
}

// A file that is not the first to be sent over a connection is none of it: the
// kernel closes its descriptor.
func TestADescriptorComesWithTheFirstBytes(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	conn := h.handOver(t, "/v1/health", "Content-Length: 0\r\n")
	if status, _ := answer(t, conn); status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
		t.Fatalf("the first request: %d", status)
	}
	f := fileOf(t, pattern(1000))
	_, _, err := conn.WriteMsgUnix(fmt.Appendf(nil, "POST "+toBob+" HTTP/1.1\r\nHost: localhost\r\n"+waits+"\r\n", 1000), syscall.UnixRights(int(f.Fd())), nil)
	check(t, err)
	if status, _ := answer(t, conn); status != http.StatusContinue {
		t.Errorf("the second request: %d", status)
	}
}

// The client offers the descriptor of a file, and sends the body to a daemon
// that it doesn't come to.
func TestTheClientHandsFilesOver(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	for name, address := range map[string]string{"to the daemon": h.unix, "through a proxy that drops it": "unix:" + relay(t, h.unix)} {
		content := pattern(2 << 20)
		out, err := h.dial(address, "").Send(t.Context(), client.Submission{To: []string{"bob"}, Name: "x"}, fileOf(t, content), int64(len(content)))
		if err != nil || out.SHA256 != hexOf(content) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// relay passes bytes on to a Unix socket, and nothing else.
func relay(t *testing.T, to string) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "dxd-relay")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", strings.TrimPrefix(to, "unix:"))
			if err != nil {
				near.Close()
				return
			}
			go func() {
				io.Copy(far, near)
				far.(*net.UnixConn).CloseWrite()
			}()
			go func() {
				io.Copy(near, far)
				near.Close()
				far.Close()
			}()
		}
	}()
	return path
}
