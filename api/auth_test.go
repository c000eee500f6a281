package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

// openapi is what a test reads of the document.
type openapi struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		Security  []map[string][]string `json:"security"`
		Responses map[string]struct {
			Content map[string]any `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
}

func (h *house) spec() openapi {
	h.t.Helper()
	resp := h.ask("GET", "/v1/openapi.json", adminToken, nil)
	defer resp.Body.Close()
	var doc openapi
	check(h.t, json.NewDecoder(resp.Body).Decode(&doc))
	return doc
}

// ask makes a request over TCP.
func (h *house) ask(method, path, token string, header http.Header) *http.Response {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, "http://"+h.tcp+path, nil)
	check(h.t, err)
	for name, values := range header {
		req.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := h.web.RoundTrip(req)
	check(h.t, err)
	h.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// problem reads an answer that must be an error of the API's form.
func problem(t *testing.T, resp *http.Response) apitype.Problem {
	t.Helper()
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	check(t, err)
	var p apitype.Problem
	if err := json.Unmarshal(raw, &p); err != nil || resp.Header.Get("Content-Type") != apitype.ProblemType || p.Status != resp.StatusCode || p.Detail == "" {
		t.Errorf("not a problem: %s %q %s", resp.Status, resp.Header.Get("Content-Type"), raw)
	}
	return p
}

var example = strings.NewReplacer("{id}", "0190b8f0-3c5e-7abc-8def-0123456789ab", "{alias}", "bob", "{name}", "app")

func TestEachRouteAsksForATokenAndItsScope(t *testing.T) {
	h := newHouse(t)
	doc := h.spec()
	routes, open := 0, []string{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			routes++
			method, at := strings.ToUpper(method), example.Replace(path)
			if len(op.Security) == 0 {
				open = append(open, method+" "+path)
				continue
			}
			scope := op.Security[0]["token"][0]
			for token, want := range map[string]record.Kind{
				"": record.Unauthenticated, "token-of-a-stranger": record.Unauthenticated, adminToken + "x": record.Unauthenticated,
				sendToken: refusedUnless(scope, "send"), readToken: refusedUnless(scope, "read"),
			} {
				if want == record.Internal {
					continue
				}
				resp := h.ask(method, at, token, nil)
				if p := problem(t, resp); p.Kind != want.String() {
					t.Errorf("%s %s with %q is %s, not %s", method, path, token, p.Kind, want)
				}
				if want == record.Unauthenticated && resp.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s %s: 401 without a challenge", method, path)
				}
			}
			if k := h.kindOf(method, at, adminToken); k == "unauthenticated" || k == "refused" {
				t.Errorf("%s %s is %s for the admin", method, path, k)
			}
		}
	}
	if routes < 20 || !slices.Equal(open, []string{"GET /v1/health"}) {
		t.Errorf("%d routes, of which %v are open to strangers", routes, open)
	}
}

func refusedUnless(scope, has string) record.Kind {
	if scope == has || scope == "any" {
		return record.Internal // not refused
	}
	return record.Refused
}

// kindOf is the kind of the error that the request meets, or "".
func (h *house) kindOf(method, path, token string) string {
	h.t.Helper()
	resp := h.ask(method, path, token, nil)
	if resp.StatusCode/100 == 2 {
		return ""
	}
	return problem(h.t, resp).Kind
}

func TestTheOpenAPIDocumentDescribesStreamsAndErrors(t *testing.T) {
	h := newHouse(t)
	doc := h.spec()
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.Responses["default"].Content[apitype.ProblemType] == nil {
				t.Errorf("%s %s: errors are not described", method, path)
			}
		}
	}
	if doc.Paths["/v1/transfers/{id}/content"]["get"].Responses["200"].Content["application/octet-stream"] == nil {
		t.Error("the content is not described")
	}
	resp := h.ask("GET", "/v1/openapi.yaml", readToken, nil)
	if raw := readAll(t, resp.Body); !strings.Contains(string(raw), "/v1/transfers") || resp.StatusCode != http.StatusOK {
		t.Errorf("YAML: %s %.60s", resp.Status, raw)
	}
	for _, path := range []string{"/docs", "/v1/docs", "/openapi.json", "/schemas/Transfer"} {
		if k := h.kindOf("GET", path, adminToken); k != "not-found" {
			t.Errorf("%s is %q", path, k)
		}
	}
}

func TestTheClientUsesItsToken(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	ctx := t.Context()
	reader, sender := h.dial("http://"+h.tcp, readToken), h.dial(h.tcp, sendToken)
	if _, err := reader.Partners(ctx); err != nil {
		t.Error(err)
	}
	if _, err := reader.Send(ctx, client.Submission{To: []string{"bob"}, Name: "x"}, strings.NewReader("x"), 1); record.KindOf(err) != record.Refused {
		t.Errorf("a reader sends: %v", err)
	}
	if _, err := sender.Send(ctx, client.Submission{To: []string{"bob"}, Name: "x"}, strings.NewReader("x"), 1); err != nil {
		t.Error(err)
	}
	if _, err := sender.Transfers(ctx, client.Filter{}); record.KindOf(err) != record.Refused {
		t.Errorf("a sender reads: %v", err)
	}
	if _, err := h.dial(h.tcp, "").Version(ctx); record.KindOf(err) != record.Unauthenticated || record.Hint(err) == "" {
		t.Errorf("without a token: %v", err)
	}
}

func TestARefusedUploadIsAnsweredBeforeItsBody(t *testing.T) {
	h := newHouse(t)
	body := &countingReader{left: 1 << 30}
	_, err := h.dial(h.tcp, readToken).Send(t.Context(), client.Submission{To: []string{"bob"}, Name: "x"}, body, 1<<30)
	if record.KindOf(err) != record.Refused || body.read != 0 {
		t.Errorf("%v after %d bytes", err, body.read)
	}
}

// TestARefusalInTheMiddleOfAnUploadIsHeard sends more than a word may have, and
// looks for the answer late.
func TestARefusalInTheMiddleOfAnUploadIsHeard(t *testing.T) {
	h := newHouse(t)
	for network, address := range map[string]string{"unix": strings.TrimPrefix(h.unix, "unix:"), "tcp": h.tcp} {
		conn, err := net.Dial(network, address)
		check(t, err)
		defer conn.Close()
		check(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		const size = 16 << 20
		_, err = fmt.Fprintf(conn, "POST /v1/transfers/0190b8f0-3c5e-7abc-8def-0123456789ab/accept HTTP/1.1\r\n"+
			"Host: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", h.tcp, adminToken, size)
		check(t, err)
		if n, err := io.Copy(conn, &countingReader{left: size - 1}); err != nil {
			t.Errorf("over %s: after %d bytes: %v", network, n, err)
			continue
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		check(t, err)
		if p := problem(t, resp); resp.StatusCode != 400 || !resp.Close {
			t.Errorf("over %s: %s, %+v", network, resp.Status, p)
		}
	}
}

// countingReader gives zeros and counts them.
type countingReader struct{ left, read int64 }

func (c *countingReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), c.left))
	clear(p[:n])
	c.left -= int64(n)
	c.read += int64(n)
	return n, nil
}
