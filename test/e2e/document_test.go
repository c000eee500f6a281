package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/hashanchor"
	"dxd/record"
)

// document is bytes that look random and can be had again and again.
type document struct {
	seed string
	size int64
}

func (d document) open() io.Reader {
	return io.LimitReader(rand.NewChaCha8(sha256.Sum256([]byte(d.seed))), d.size)
}

func (d document) sha256(t testing.TB) string {
	t.Helper()
	return sumOf(t, d.open())
}

func sumOf(t testing.TB, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	_, err := io.Copy(h, r)
	check(t, err)
	return hex.EncodeToString(h.Sum(nil))
}

// send submits a document and returns the transfer's id.
func (o *org) send(to *org, d document) record.TransferID {
	o.t.Helper()
	sent, err := o.Send(o.t.Context(), client.Submission{To: []string{to.alias}, Name: d.seed + ".bin"}, d.open(), d.size)
	check(o.t, err)
	return sent.Transfers[0].ID
}

// wait waits for a goal and returns the transfer, which may have failed.
func (o *org) wait(limit time.Duration, id record.TransferID, goal string) apitype.Transfer {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), limit)
	defer cancel()
	v, err := o.Wait(ctx, id, goal, nil)
	if err != nil {
		now, nowErr := o.Transfer(o.t.Context(), id)
		o.t.Fatalf("%s waits for %s: %v; now %s (%s), anchor %s, %v", o.name, goal, err, now.State, now.Reason, now.Anchor, nowErr)
	}
	return v
}

// delivered waits until the transfer is delivered.
func (o *org) delivered(id record.TransferID) apitype.Transfer {
	o.t.Helper()
	return o.deliveredWithin(patience, id)
}

func (o *org) deliveredWithin(limit time.Duration, id record.TransferID) apitype.Transfer {
	o.t.Helper()
	v := o.wait(limit, id, "delivered")
	if v.State != "delivered" {
		o.t.Fatalf("the transfer is %s (%s), not delivered", v.State, v.Reason)
	}
	return v
}

// keeps fails unless the organisation has the document under the id, whole.
func (o *org) keeps(id record.TransferID, d document) {
	o.t.Helper()
	o.keepsSum(id, d.sha256(o.t))
}

func (o *org) keepsSum(id record.TransferID, sum string) {
	o.t.Helper()
	c, err := o.Content(o.t.Context(), id)
	check(o.t, err)
	defer c.Close()
	if got := sumOf(o.t, c); got != sum {
		o.t.Errorf("%s keeps another document: %s", o.name, got)
	}
}

// evidence is the parsed evidence of a transfer.
func (o *org) evidence(id record.TransferID) (*hashanchor.Evidence, []byte) {
	o.t.Helper()
	raw, err := o.Evidence(o.t.Context(), id)
	check(o.t, err)
	e, err := hashanchor.ParseEvidence(raw)
	check(o.t, err)
	return e, raw
}

// wantTold fails unless the organisation's log tells of the transfer once.
func (o *org) wantTold(id record.TransferID, what string) {
	o.t.Helper()
	all, err := o.Events(o.t.Context(), client.EventFilter{Limit: 1000})
	check(o.t, err)
	var told []string
	for _, e := range all {
		if e.ID == id && !strings.HasPrefix(e.Type, "anchor.") {
			told = append(told, e.Type)
		}
	}
	if !slices.Equal(told, []string{what}) {
		o.t.Errorf("%s was told %v", o.name, told)
	}
}

// agree fails unless one transfer, and nothing else, is at both ends: the
// document whole, the states right, each told once, the records the same, and
// no file over.
func agree(from, to *org, id record.TransferID, d document) {
	t := from.t
	t.Helper()
	sum := d.sha256(t)
	for o, state := range map[*org]string{from: "delivered", to: "received"} {
		all := o.transfers()
		if len(all) != 1 || all[0].ID != id || all[0].State != state || all[0].SHA256 != sum || all[0].BytesDone != d.size {
			t.Errorf("%s has %+v", o.name, all)
		}
		until(t, "one whole file", o.oneWholeFile)
	}
	from.wantTold(id, "transfer.delivered")
	to.wantTold(id, "document.received")
	to.keepsSum(id, sum)
	ours, _ := from.evidence(id)
	theirs, _ := to.evidence(id)
	same := func(a, b record.Envelope) bool { return string(a.Bytes()) == string(b.Bytes()) }
	if !same(ours.Record, theirs.Record) || len(ours.Receipts) != 1 || !slices.EqualFunc(ours.Receipts, theirs.Receipts, same) {
		t.Error("the two sides hold different records")
	}
}

// oneWholeFile says what is amiss where one payload should be.
func (o *org) oneWholeFile() string {
	names := o.payloads()
	if len(names) == 1 && !strings.HasSuffix(names[0], ".partial") {
		return ""
	}
	return fmt.Sprintf("%s keeps %v", o.name, names)
}
