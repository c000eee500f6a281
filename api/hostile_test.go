package api_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"dxd/record"
)

func TestBrowsersAreKeptOut(t *testing.T) {
	h := newHouse(t)
	_, port, err := net.SplitHostPort(h.tcp)
	check(t, err)
	for name, v := range map[string]struct {
		method string
		header http.Header
		token  string
		status int
	}{
		"its address":                   {"GET", http.Header{}, readToken, 200},
		"localhost":                     {"GET", http.Header{"Host": {"localhost:" + port}}, readToken, 200},
		"another loopback address":      {"GET", http.Header{"Host": {"[::1]:" + port}}, readToken, 200},
		"a configured name":             {"GET", http.Header{"Host": {"DXD.example"}}, readToken, 200},
		"its own origin":                {"GET", http.Header{"Origin": {"http://" + h.tcp}, "Sec-Fetch-Site": {"same-origin"}}, readToken, 200},
		"a rebound name":                {"GET", http.Header{"Host": {"evil.example:" + port}}, readToken, 403},
		"a name that ends like its own": {"GET", http.Header{"Host": {"xlocalhost"}}, readToken, 403},
		"another address":               {"GET", http.Header{"Host": {"192.0.2.7"}}, readToken, 403},
		"a foreign origin":              {"GET", http.Header{"Origin": {"https://evil.example"}}, readToken, 403},
		"a foreign origin on loopback":  {"GET", http.Header{"Origin": {"http://127.0.0.1:1"}}, readToken, 403},
		"no origin at all":              {"GET", http.Header{"Origin": {"null"}}, readToken, 403},
		"a file's origin":               {"GET", http.Header{"Origin": {"file://" + h.tcp}}, readToken, 403},
		"a foreign page's image":        {"GET", http.Header{"Sec-Fetch-Site": {"cross-site"}}, readToken, 403},
		"a form":                        {"POST", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "", 403},
		"a form as plain text":          {"POST", http.Header{"Content-Type": {"text/plain;charset=UTF-8"}}, "", 403},
		"a form with a file":            {"POST", http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, "", 403},
		"JSON without a token":          {"POST", http.Header{"Content-Type": {"application/json"}}, "", 401},
	} {
		t.Run(name, func(t *testing.T) {
			resp := h.ask(v.method, "/v1/partners", v.token, v.header)
			if resp.StatusCode != v.status {
				t.Errorf("%s, not %d", resp.Status, v.status)
			}
			if v.status != 200 {
				problem(t, resp)
			}
			if resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", resp.Header)
			}
		})
	}
}

func TestRequestsThatDoNotValidate(t *testing.T) {
	h := newHouse(t)
	file, _ := neighbour(t, "Bob")
	for name, v := range map[string]struct {
		method, path, contentType, body string
		status                          int
	}{
		"no body":                 {"POST", "/partners", "application/json", "", 400},
		"JSON that is cut off":    {"POST", "/partners", "application/json", `{"alias":"bob"`, 400},
		"JSON of another sort":    {"POST", "/partners", "application/json", `[]`, 400},
		"an unknown member":       {"POST", "/partners", "application/json", `{"alias":"bob","file":"","role":"admin"}`, 400},
		"a member in other case":  {"POST", "/partners", "application/json", `{"Alias":"bob","file":""}`, 400},
		"a number for a string":   {"POST", "/partners", "application/json", `{"alias":1,"file":""}`, 400},
		"a file that is no card":  {"POST", "/partners", "application/json", `{"alias":"bob","file":"{}"}`, 400},
		"an alias that is a path": {"POST", "/partners", "application/json", fmt.Sprintf(`{"alias":"../x","file":%q}`, file), 400},
		"another content type":    {"POST", "/partners", "text/plain", `{"alias":"bob","file":""}`, 415},
		"XML":                     {"POST", "/partners", "application/xml", `<a/>`, 415},
		"a body without end":      {"POST", "/partners", "application/json", `{"file":"` + strings.Repeat("x", 2<<20) + `"}`, 413},
		"a body for cancel":       {"POST", "/transfers/0190b8f0-3c5e-7abc-8def-0123456789ab/cancel", "application/json", `{}`, 404},
		"an id that is none":      {"GET", "/transfers/1", "", "", 400},
		"an id with a path in it": {"GET", "/transfers/..%2f..%2fetc", "", "", 400},
		"an id in upper case":     {"GET", "/transfers/0190B8F0-3C5E-7ABC-8DEF-0123456789AB", "", "", 400},
		"an unknown parameter":    {"GET", "/transfers?dir=in", "", "", 400},
		"an unknown direction":    {"GET", "/transfers?direction=up", "", "", 400},
		"an unknown state":        {"GET", "/transfers?state=lost", "", "", 400},
		"a limit that is none":    {"GET", "/transfers?limit=many", "", "", 400},
		"a limit of nothing":      {"GET", "/transfers?limit=-1", "", "", 400},
		"a limit beyond the page": {"GET", "/transfers?limit=1000000", "", "", 400},
		"a timeout that is none":  {"GET", "/transfers/0190b8f0-3c5e-7abc-8def-0123456789ab?wait=delivered&timeout=soon", "", "", 400},
		"no recipient":            {"POST", "/transfers?name=x", "text/plain", "x", 400},
		"no name":                 {"POST", "/transfers?to=bob", "text/plain", "x", 400},
		"a name that is a path":   {"POST", "/transfers?to=bob&name=..%2Fx", "text/plain", "x", 400},
		"a name with an escape":   {"POST", "/transfers?to=bob&name=%1b%5b2J", "text/plain", "x", 400},
		"a name with a NUL":       {"POST", "/transfers?to=bob&name=a%00b", "text/plain", "x", 400},
		"a name too long":         {"POST", "/transfers?to=bob&name=" + strings.Repeat("n", 300), "text/plain", "x", 400},
		"a stream of a kind":      {"POST", "/transfers?to=bob&name=x&stream=perhaps", "text/plain", "x", 400},
		"a message as a stream":   {"POST", "/messages?to=bob&stream=true", "text/plain", "x", 400},
		"an expiry in the past":   {"POST", "/transfers?to=bob&name=x&expires=-1h", "text/plain", "x", 400},
		"a form for a document":   {"POST", "/transfers?to=bob&name=x", "application/x-www-form-urlencoded", "x", 400},
		"a form with a file":      {"POST", "/transfers?to=bob&name=x", "multipart/form-data; boundary=b", "--b--", 400},
		"a media type of noise":   {"POST", "/transfers?to=bob&name=x", "noise", "x", 400},
		"a form for a word":       {"POST", "/transfers/0190b8f0-3c5e-7abc-8def-0123456789ab/accept", "application/x-www-form-urlencoded", "x", 400},
		"a word that is long":     {"POST", "/transfers/0190b8f0-3c5e-7abc-8def-0123456789ab/accept", "text/plain", strings.Repeat("x", 64<<10+1), 400},
		"a word that is noise":    {"POST", "/transfers/0190b8f0-3c5e-7abc-8def-0123456789ab/accept", "text/plain", "\xff", 400},
		"a word on nothing":       {"POST", "/transfers/0190b8f0-3c5e-7abc-8def-0123456789ab/accept", "", "", 404},
		"a refusal for nothing":   {"POST", "/transfers/0190b8f0-3c5e-7abc-8def-0123456789ab/refuse", "", "", 400},
		"an unprintable reason":   {"POST", "/transfers/0190b8f0-3c5e-7abc-8def-0123456789ab/refuse?reason=%1b%5b2J", "", "", 400},
		"an unknown route":        {"GET", "/secrets", "", "", 404},
		"another method":          {"PUT", "/partners", "", "", 405},
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			header := http.Header{}
			if v.contentType != "" {
				header.Set("Content-Type", v.contentType)
			}
			req, err := http.NewRequestWithContext(t.Context(), v.method, "http://"+h.tcp+"/v1"+v.path, strings.NewReader(v.body))
			check(t, err)
			req.Header = header
			req.Header.Set("Authorization", "Bearer "+adminToken)
			resp, err := h.web.RoundTrip(req)
			check(t, err)
			p := problem(t, resp)
			if resp.StatusCode != v.status {
				t.Errorf("%s, not %d: %+v", resp.Status, v.status, p)
			}
			if strings.ContainsAny(p.Detail, "\x00\x1b") {
				t.Errorf("the detail is not printable: %q", p.Detail)
			}
		})
	}
	if h.files() != 0 {
		t.Error("payload files are left")
	}
}

func TestHeadersAreBoundedInSizeAndTime(t *testing.T) {
	h := newHouse(t)
	resp := h.ask("GET", "/v1/health", "", http.Header{"X-Large": {strings.Repeat("x", 64<<10)}})
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("large headers: %s", resp.Status)
	}
	h = newHouseOf(t, bounds{headers: 100 * time.Millisecond})
	conn, err := net.Dial("tcp", h.tcp)
	check(t, err)
	defer conn.Close()
	check(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, _ = io.WriteString(conn, "GET /v1/health HTTP/1.1\r\nHost: "+h.tcp+"\r\nX-Slow: ") // it may be over already
	if b, err := io.ReadAll(conn); err != nil || len(b) != 0 && !bytes.Contains(b, []byte("408")) {
		t.Errorf("headers without end: %q, %v", b, err)
	}
}

func TestAnUploadThatBreaksOffLeavesNothing(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	for name, frame := range map[string]string{
		"of known length":   "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 300_000),
		"of unknown length": "Transfer-Encoding: chunked\r\n\r\n493e0\r\n" + strings.Repeat("x", 300_000) + "\r\n",
	} {
		conn, err := net.Dial("tcp", h.tcp)
		check(t, err)
		_, err = io.WriteString(conn, "POST /v1/transfers?to=bob&name=x HTTP/1.1\r\nHost: "+h.tcp+"\r\nAuthorization: Bearer "+sendToken+
			"\r\nContent-Type: text/plain\r\n"+frame)
		check(t, err)
		check(t, conn.(*net.TCPConn).CloseWrite())
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		check(t, err)
		if p := problem(t, resp); p.Kind != "invalid" {
			t.Errorf("%s: %+v", name, p)
		}
		check(t, conn.Close())
	}
	if left := h.list(); len(left) != 0 || h.files() != 0 {
		t.Errorf("%d transfers and %d files are left", len(left), h.files())
	}
}

func TestAnInternalErrorIsLoggedAndNotTold(t *testing.T) {
	h := newHouse(t)
	_, err := h.client().Doctor(t.Context(), "broken")
	if record.KindOf(err) != record.Internal || strings.Contains(err.Error(), "/var/secret") {
		t.Errorf("the caller was told: %v", err)
	}
	if !strings.Contains(h.log.String(), "/var/secret") {
		t.Error("nothing was logged")
	}
}
