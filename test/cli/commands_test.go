package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"dxd/client"
	"dxd/crypto"
	"dxd/internal/devchain"
	"dxd/record"
	"dxd/test/party"
)

// exits runs a command and wants an exit code of it: `exits 2 dxd init`.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG…]")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		coded, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = coded.ExitCode()
	}
	if want := args[0]; want != strconv.Itoa(got) {
		ts.Fatalf("exit code %d, want %s", got, want)
	}
}

// chain starts a dev chain on which the accounts have coin, and sets RPC to
// its URL: `chain ACCOUNT…`.
func chain(ts *testscript.TestScript, neg bool, args []string) {
	var c devchain.Config
	for _, s := range args {
		account, err := record.ParseAccount(s)
		ts.Check(err)
		c.Fund = append(c.Fund, account)
	}
	started, err := devchain.Start(c)
	ts.Check(err)
	ts.Defer(func() { ts.Check(started.Close()) })
	ts.Setenv("RPC", started.URL())
}

// let takes a value out of the JSON that the last command printed:
// `let ID transfers.0.id`.
func let(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: let VARIABLE PATH")
	}
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &value))
	for step := range strings.SplitSeq(args[1], ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			ts.Check(err)
			if i >= len(v) {
				ts.Fatalf("%s: only %d elements", args[1], len(v))
			}
			value = v[i]
		}
	}
	if value == nil {
		ts.Fatalf("there is no %s", args[1])
	}
	ts.Setenv(args[0], fmt.Sprint(value))
}

// patience bounds what a script waits for.
const patience = party.Patience

// await waits until a transfer has come to a goal on one side:
// `await DIR ID anchored`, or until its payload is erased: `await DIR ID erased`.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: await DIR ID GOAL")
	}
	id, err := record.ParseTransferID(args[1])
	ts.Check(err)
	c, err := client.New(client.Config{API: "unix:" + ts.MkAbs(args[0]) + "/api.sock"})
	ts.Check(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if args[2] == "erased" {
		ts.Check(awaitErased(ctx, c, id))
		return
	}
	_, err = c.Wait(ctx, id, args[2], nil)
	ts.Check(err)
}

// until runs a command again and again until its output matches, or with !
// does not match any more: `until PATTERN COMMAND [ARG…]`. It is for what the
// daemon does soon, and tells nobody when.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] until PATTERN COMMAND [ARG…]")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if pattern.MatchString(ts.ReadFile("stdout")) != neg {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("not within %s", patience)
		}
		<-tick.C
	}
}

// awaitErased waits until a transfer's payload is erased, which is no goal of
// the daemon's own.
func awaitErased(ctx context.Context, c *client.Client, id record.TransferID) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		t, err := c.Transfer(ctx, id)
		if t.Erased || err != nil {
			return err
		}
		<-tick.C
	}
}

// cards writes card files that no honest dxd writes: expired.card, and
// twin-1.card and twin-2.card, which one root key signed with one serial.
func cards(ts *testscript.TestScript, neg bool, args []string) {
	now := time.Now()
	keys, err := crypto.Generate()
	ts.Check(err)
	for name, made := range map[string]time.Time{"twin-1": now, "twin-2": now, "expired": now.Add(-2 * time.Hour)} {
		signed, err := keys.SignCard(record.Card{
			Header: record.Header{Created: made.UnixMilli()}, Name: "Carat SA", Serial: 1, Expires: made.Add(time.Hour).UnixMilli(),
		})
		ts.Check(err)
		content, err := record.CardFile{Card: signed.Envelope}.Bytes()
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name+".card"), content, 0o600))
	}
}
