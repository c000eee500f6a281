package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"dxd/record"
)

func (h *house) contentPath(id record.TransferID) string {
	return "/v1/transfers/" + id.String() + "/content"
}

func TestRanges(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	doc := pattern(200_000) // more than three sealed chunks
	sum := sha256.Sum256(doc)
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	path := h.contentPath(h.sent("a.bin", "", doc))
	for _, v := range []struct {
		field, condition string
		status           int
		from, to         int // of what comes; to is beyond the last byte
	}{
		{"", "", 200, 0, 200_000},
		{"bytes=0-0", "", 206, 0, 1},
		{"bytes=0-", "", 206, 0, 200_000},
		{"bytes=65530-65545", "", 206, 65530, 65546},
		{"bytes=199999-", "", 206, 199_999, 200_000},
		{"bytes=199990-999999", "", 206, 199_990, 200_000},
		{"bytes=-10", "", 206, 199_990, 200_000},
		{"bytes=-999999999999999999999", "", 206, 0, 200_000},
		{"bytes=10-19", etag, 206, 10, 20},
		{"bytes=10-19", `"another"`, 200, 0, 200_000},
		{"bytes=10-19", "Sun, 06 Nov 1994 08:49:37 GMT", 200, 0, 200_000},
		{"bytes=0-1,5-6", "", 200, 0, 200_000},
		{"bytes=9-5", "", 200, 0, 200_000},
		{"bytes=+1-5", "", 200, 0, 200_000},
		{"bytes=-", "", 200, 0, 200_000},
		{"lines=1-2", "", 200, 0, 200_000},
		{"bytes=200000-", "", 416, 0, 0},
		{"bytes=99999999999999999999-", "", 416, 0, 0},
		{"bytes=-0", "", 416, 0, 0},
	} {
		t.Run(v.field+" "+v.condition, func(t *testing.T) {
			h.t = t
			header := http.Header{}
			for name, value := range map[string]string{"Range": v.field, "If-Range": v.condition} {
				if value != "" {
					header.Set(name, value)
				}
			}
			for _, method := range []string{"GET", "HEAD"} {
				resp := h.ask(method, path, readToken, header)
				body := readAll(t, resp.Body)
				if resp.StatusCode != v.status || resp.ContentLength != int64(v.to-v.from) {
					t.Errorf("%s: %s of %d bytes", method, resp.Status, resp.ContentLength)
				}
				if method == "GET" && !bytes.Equal(body, doc[v.from:v.to]) || method == "HEAD" && len(body) != 0 {
					t.Errorf("%s: another body, of %d bytes", method, len(body))
				}
				want := map[int]string{200: "", 206: "bytes " + strconv.Itoa(v.from) + "-" + strconv.Itoa(v.to-1) + "/200000", 416: "bytes */200000"}[v.status]
				if got := resp.Header.Get("Content-Range"); got != want {
					t.Errorf("%s: Content-Range %q, not %q", method, got, want)
				}
			}
		})
	}
}

func TestWhatADownloadSaysOfItself(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	for _, v := range []struct{ name, mediaType, wantType, wantDisposition string }{
		{"plain.txt", "text/plain; charset=utf-8", "text/plain", `attachment; filename=plain.txt`},
		{"page.html", "text/html", "application/octet-stream", `attachment; filename=page.html`},
		{"picture.svg", "image/svg+xml", "application/octet-stream", `attachment; filename=picture.svg`},
		{"script.js", "text/javascript", "application/octet-stream", `attachment; filename=script.js`},
		{"no type", "", "application/octet-stream", `attachment; filename="no type"`},
		{`quote".pdf`, "application/pdf", "application/pdf", `attachment; filename="quote\".pdf"`},
		{"x; filename=evil.exe", "image/png", "image/png", `attachment; filename="x; filename=evil.exe"`},
		{"Größe €.csv", "text/csv", "text/csv", `attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe%20%E2%82%AC.csv`},
	} {
		sum := sha256.Sum256([]byte(v.name))
		resp := h.ask("HEAD", h.contentPath(h.sent(v.name, v.mediaType, []byte(v.name))), readToken, nil)
		for name, want := range map[string]string{
			"Content-Type": v.wantType, "Content-Disposition": v.wantDisposition, "X-Content-Type-Options": "nosniff",
			"Repr-Digest":   "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":",
			"Accept-Ranges": "bytes", "Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "no-store",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, not %q", v.name, name, got, want)
			}
		}
	}
}

func TestADamagedDocumentNeverComesWhole(t *testing.T) {
	doc := pattern(1 << 20)
	for name, v := range map[string]struct {
		at   int // of the sealed file; from its end if negative
		kind record.Kind
	}{
		"in its first bytes": {100, record.Damaged},
		"in its middle":      {700_000, record.Unreachable}, // the connection ends
		"in its last bytes":  {-20, record.Unreachable},
		"in what seals it":   {3, record.Damaged},
		"in its last tag":    {-1, record.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.pair("bob")
			id := h.sent("a.bin", "", doc)
			h.damage(v.at)
			content, err := h.client().Content(t.Context(), id)
			if err == nil {
				var n int64
				n, err = io.Copy(io.Discard, content)
				if n == int64(len(doc)) {
					t.Error("all bytes came")
				}
				check(t, content.Close())
			}
			if record.KindOf(err) != v.kind {
				t.Errorf("the error is %v", err)
			}
			h.t = t
			resp := h.ask("GET", h.contentPath(id), readToken, http.Header{"Range": {"bytes=0-"}})
			if body, err := io.ReadAll(resp.Body); err == nil && resp.StatusCode/100 == 2 {
				t.Errorf("as a range all %d bytes came", len(body))
			}
			if !strings.Contains(h.log.String(), "damaged on our own disk") {
				t.Error("the damage was not logged")
			}
		})
	}
}

func TestACallerThatComparesTheDigestItselfGetsTheSame(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	doc := pattern(200_000)
	path := h.contentPath(h.sent("a.bin", "", doc))
	for _, hashed := range []string{"true", "false"} {
		resp := h.ask("GET", path+"?hashed="+hashed, readToken, nil)
		sum := sha256.Sum256(doc)
		if want := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"; resp.Header.Get("Repr-Digest") != want {
			t.Errorf("hashed=%s: the digest is %q", hashed, resp.Header.Get("Repr-Digest"))
		}
		if body := readAll(t, resp.Body); !bytes.Equal(body, doc) {
			t.Errorf("hashed=%s: another body, of %d bytes", hashed, len(body))
		}
	}
}
