package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// FuzzNoPageComesIn has a browser say any host, origin and site: what comes
// through was called by one of our names, and from nowhere else.
func FuzzNoPageComesIn(f *testing.F) {
	for _, seed := range [][3]string{
		{"127.0.0.1:4242", "", ""}, {"localhost", "http://localhost", "same-origin"}, {"[::1]:4242", "", "none"},
		{"DXD.example:1", "https://dxd.example:1", ""}, {"evil.example:4242", "", ""}, {"127.0.0.1:4242", "https://evil.example", "cross-site"},
		{"127.0.0.1.evil.example", "null", ""}, {"localhost.", "", ""}, {"[127.0.0.1]", "http://127.0.0.1@evil.example", ""}, {"[::ffff:127.0.0.1]", "", ""},
		{"127.0.0.1:4242", "http://127.0.0.1:4242/x", ""}, {"0x7f000001", "", ""}, {"2130706433", "", ""}, {"0.0.0.0", "", ""}, {"", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4242}
	f.Fuzz(func(t *testing.T, host, origin, site string) {
		r := (&http.Request{Method: http.MethodGet, Host: host, Header: http.Header{}}).
			WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(at)))
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		if checkBrowser(r, []string{"dxd.example"}) != nil {
			return
		}
		name := strings.ToLower(host)
		if h, _, err := net.SplitHostPort(name); err == nil {
			name = h
		}
		ip, err := netip.ParseAddr(strings.Trim(name, "[]"))
		if strings.Trim(name, "[]") != "localhost" && strings.Trim(name, "[]") != "dxd.example" && (err != nil || !ip.IsLoopback()) {
			t.Errorf("called %q, it comes in", host)
		}
		if u, err := url.Parse(origin); origin != "" && (err != nil || !strings.EqualFold(u.Host, host)) || site != "" && site != "same-origin" && site != "none" {
			t.Errorf("from %q (%q) it comes in at %q", origin, site, host)
		}
	})
}
