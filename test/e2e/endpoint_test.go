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
	"dxd/test/party"
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
			a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
			right, wrong := party.NewChain(t, a, b), c.serve(t)
			for _, o := range []*party.Org{a, b} {
				o.AnchorAt(wrong)
				startsSoon(t, o)
			}
			party.Pair(a, b)
			all := party.ExchangeDocuments(a, b)
			said := a.AnchorTrouble()
			t.Log(said)
			if !strings.Contains(said, c.want) {
				t.Errorf("%q does not say %q", said, c.want)
			}
			for _, o := range []*party.Org{a, b} {
				o.Stop()
				o.AnchorAt(right.URL)
				o.Start()
			}
			for _, s := range all {
				right.Proven(s)
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
	party.Check(t, err)
	t.Cleanup(func() { party.Check(t, other.Close()) })
	return other.URL()
}

// A daemon must stop at once, too, while an endpoint keeps it waiting.
func TestAnEndpointThatNeverAnswersHoldsUpNoStop(t *testing.T) {
	t.Parallel()
	a := party.NewOrg(t, "alpha")
	asked := make(chan struct{}, 1)
	a.AnchorAt(answering(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		neverAnswer(w, r)
	})(t))
	for try := 1; ; try++ {
		a.Start()
		select {
		case <-asked:
		case <-time.After(party.Patience):
			t.Fatal("nobody asked the endpoint")
		}
		begun := time.Now()
		a.Stop()
		took := time.Since(begun)
		if took <= maxReady {
			return
		}
		if try == tries {
			t.Fatalf("the stop took %s, and no less in %d tries", took, tries)
		}
		select {
		case <-asked: // once more, before it was stopped
		default:
		}
	}
}
