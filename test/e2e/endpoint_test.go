package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dxd/internal/devchain"
)

func TestAnEndpointThatFailsHoldsUpNoDocument(t *testing.T) {
	for _, c := range []struct {
		name  string
		serve func(t *testing.T) (url string)
		want  string // stands in what the daemon says
	}{
		{"one that never answers", answering(neverAnswer), "in time"},
		{"one that answers with a web page", answering(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html>Sign in to the hotel's network</html>") // the daemon may be gone
		}), "not JSON"},
		{"one that answers JSON without sense", answering(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"a":[{}]}}`) // as above
		}), "eth_chainId"},
		{"one that answers for another chain", otherChain, fmt.Sprint("for chain 4242, not ", devchain.DefaultChainID)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, b := newOrg(t, "alpha"), newOrg(t, "beta")
			right, wrong := newChain(t, a, b), c.serve(t)
			for _, o := range []*org{a, b} {
				o.anchorAt(wrong)
				if took := o.start(); took > maxReady {
					t.Errorf("ready after %s", took)
				}
			}
			pair(a, b)
			all := exchangeDocuments(a, b)
			said := a.anchorTrouble()
			t.Log(said)
			if !strings.Contains(said, c.want) {
				t.Errorf("%q does not say %q", said, c.want)
			}
			for _, o := range []*org{a, b} {
				o.stop()
				o.anchorAt(right.url)
				o.start()
			}
			for _, s := range all {
				right.proven(s)
			}
		})
	}
}

func answering(h http.HandlerFunc) func(t *testing.T) string {
	return func(t *testing.T) string {
		srv := httptest.NewServer(h)
		t.Cleanup(func() {
			srv.CloseClientConnections() // of a daemon that a failed test left
			srv.Close()
		})
		return srv.URL
	}
}

func neverAnswer(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // without it, nobody would notice that the caller has gone
	<-r.Context().Done()
}

func otherChain(t *testing.T) string {
	other, err := devchain.Start(devchain.Config{ChainID: 4242})
	check(t, err)
	t.Cleanup(func() { check(t, other.Close()) })
	return other.URL()
}

// A daemon must stop at once, too, while an endpoint keeps it waiting.
func TestAnEndpointThatNeverAnswersHoldsUpNoStop(t *testing.T) {
	t.Parallel()
	a := newOrg(t, "alpha")
	asked := make(chan struct{}, 1)
	a.anchorAt(answering(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		neverAnswer(w, r)
	})(t))
	a.start()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-asked:
	case <-timer.C:
		t.Fatal("nobody asked the endpoint")
	}
	begun := time.Now()
	a.stop()
	if took := time.Since(begun); took > maxReady {
		t.Errorf("the stop took %s", took)
	}
}
