package anchor_test

import (
	"net/url"
	"strconv"
	"testing"
)

// portOf is the port of an endpoint, to serve it there again.
func portOf(t *testing.T, endpoint string) int {
	u, err := url.Parse(endpoint)
	must(t, err)
	port, err := strconv.Atoi(u.Port())
	must(t, err)
	return port
}
