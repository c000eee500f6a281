package api

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"dxd/record"
)

// A web page can make a browser on this machine send requests here. It does
// not have a token, but what it could do with one that leaked, or learn
// without one, is kept small: three checks, each of which such a request fails.

// checkBrowser holds the three checks.
func checkBrowser(r *http.Request, names []string) error {
	if err := checkHost(r, names); err != nil {
		return err
	}
	if err := checkOrigin(r); err != nil {
		return err
	}
	return checkSimple(r)
}

// checkHost refuses a name that is not ours: DNS rebinding lets a page of
// evil.example call this address under its own name. An address can't be
// rebound; it must be the one that was called, or both be loopback.
func checkHost(r *http.Request, names []string) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, host) }) {
		return nil
	}
	local := localAddr(r)
	if strings.EqualFold(host, "localhost") && local.IsLoopback() {
		return nil
	}
	called, err := netip.ParseAddr(host)
	if err == nil && (called.Unmap() == local || called.IsLoopback() && local.IsLoopback()) {
		return nil
	}
	return record.WithHint(record.Errorf(record.Refused, "this API is not called %q", record.Printable(host, 80)),
		"call it by its address")
}

// localAddr is the address at which the request arrived.
func localAddr(r *http.Request) netip.Addr {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return addr.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// checkOrigin refuses what a page of another origin sends (RFC 6454, section
// 7; Sec-Fetch-Site: W3C Fetch Metadata).
func checkOrigin(r *http.Request) error {
	foreign := false
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		foreign = err != nil || u.Scheme != "http" && u.Scheme != "https" || !strings.EqualFold(u.Host, r.Host)
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		foreign = true
	}
	if foreign {
		return record.Errorf(record.Refused, "requests of other origins are refused")
	}
	return nil
}

// checkSimple refuses a change that a page could send without asking first:
// no Authorization, and one of the three types of a form (Fetch, section
// 2.2.2, "CORS-safelisted request-header").
func checkSimple(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Header.Get("Authorization") != "" {
		return nil
	}
	switch mediaTypeOf(r) {
	case "text/plain", "multipart/form-data", "application/x-www-form-urlencoded":
		return record.Errorf(record.Refused, "forms are refused")
	}
	return nil
}

// mediaTypeOf is the request's media type without parameters, "" if there is
// none or it can't be read.
func mediaTypeOf(r *http.Request) string {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return kind
}
