package cli

import (
	"context"
	"slices"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"dxd/api/apitype"
	"dxd/client"
)

// event waits until one side was told of this type, and, if that is given, of
// this state: `event DIR TYPE [STATE]`.
func event(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: event DIR TYPE [STATE]")
	}
	c, err := client.New(client.Config{API: "unix:" + ts.MkAbs(args[0]) + "/api.sock"})
	ts.Check(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := c.Events(ctx, client.EventFilter{Limit: 1000})
		ts.Check(err)
		if slices.ContainsFunc(all, func(e apitype.Event) bool { return e.Type == args[1] && (len(args) == 2 || e.State == args[2]) }) {
			return
		}
		<-tick.C
	}
}
