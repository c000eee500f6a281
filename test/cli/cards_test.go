package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"dxd/client"
	"dxd/hashanchor"
)

// anchored waits until a daemon has the proof of a card of its own, or of a
// partner's, with this serial or a later one: `anchored DIR SERIAL [ALIAS]`.
func anchored(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: anchored DIR SERIAL [ALIAS]")
	}
	serial, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	c, err := client.New(client.Config{API: "unix:" + ts.MkAbs(args[0]) + "/api.sock"})
	ts.Check(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	card := func() ([]byte, error) { return c.Card(ctx) }
	if len(args) == 3 {
		card = func() ([]byte, error) { return c.PartnerCard(ctx, args[2]) }
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		content, err := card()
		ts.Check(err)
		f, err := hashanchor.OpenCardFile(content)
		ts.Check(err)
		if f.Proof != nil && f.Card.Body.Serial >= serial {
			return
		}
		<-tick.C
	}
}
