package party

import (
	"bytes"
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

// Document is bytes that look random and can be had again and again.
type Document struct {
	Seed string
	Size int64
}

// Open gives its bytes, from the first on.
func (d Document) Open() io.Reader {
	return io.LimitReader(rand.NewChaCha8(sha256.Sum256([]byte(d.Seed))), d.Size)
}

// SHA256 is its digest, as sha256sum prints it.
func (d Document) SHA256(t testing.TB) string {
	t.Helper()
	return SumOf(t, d.Open())
}

// SumOf reads to the end and gives the digest.
func SumOf(t testing.TB, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	_, err := io.Copy(h, r)
	Check(t, err)
	return hex.EncodeToString(h.Sum(nil))
}

// SendDocument submits a document and returns the transfer's id.
func (o *Org) SendDocument(to *Org, d Document) record.TransferID {
	o.T.Helper()
	sent, err := o.Send(o.T.Context(), client.Submission{To: []string{to.Alias}, Name: d.Seed + ".bin"}, d.Open(), d.Size)
	Check(o.T, err)
	return sent.Transfers[0].ID
}

// WaitFor waits for a goal and returns the transfer, which may have failed.
func (o *Org) WaitFor(limit time.Duration, id record.TransferID, goal string) apitype.Transfer {
	o.T.Helper()
	ctx, cancel := context.WithTimeout(o.T.Context(), limit)
	defer cancel()
	v, err := o.Wait(ctx, id, goal, nil)
	if err != nil {
		now, nowErr := o.Transfer(o.T.Context(), id)
		o.T.Fatalf("%s waits for %s: %v; now %s (%s), anchor %s, %v", o.Name, goal, err, now.State, now.Reason, now.Anchor, nowErr)
	}
	return v
}

// Delivered waits until the transfer is delivered.
func (o *Org) Delivered(id record.TransferID) apitype.Transfer {
	o.T.Helper()
	return o.DeliveredWithin(Patience, id)
}

// DeliveredWithin is Delivered with a limit of its own.
func (o *Org) DeliveredWithin(limit time.Duration, id record.TransferID) apitype.Transfer {
	o.T.Helper()
	v := o.WaitFor(limit, id, "delivered")
	if v.State != "delivered" {
		o.T.Fatalf("the transfer is %s (%s), not delivered", v.State, v.Reason)
	}
	return v
}

// Keeps fails unless the organisation has the document under the id, whole.
func (o *Org) Keeps(id record.TransferID, d Document) {
	o.T.Helper()
	o.keepsSum(id, d.SHA256(o.T))
}

func (o *Org) keepsSum(id record.TransferID, sum string) {
	o.T.Helper()
	c, err := o.Content(o.T.Context(), id)
	Check(o.T, err)
	defer c.Close()
	if got := SumOf(o.T, c); got != sum {
		o.T.Errorf("%s keeps another document: %s", o.Name, got)
	}
}

// ParsedEvidence is the parsed evidence of a transfer.
func (o *Org) ParsedEvidence(id record.TransferID) (*hashanchor.Evidence, []byte) {
	o.T.Helper()
	raw, err := o.Evidence(o.T.Context(), id)
	Check(o.T, err)
	e, err := hashanchor.ParseEvidence(raw)
	Check(o.T, err)
	return e, raw
}

// WantTold fails unless the organisation's log tells of the transfer once.
func (o *Org) WantTold(id record.TransferID, what string) {
	o.T.Helper()
	all, err := o.Events(o.T.Context(), client.EventFilter{Limit: 1000})
	Check(o.T, err)
	var told []string
	for _, e := range all {
		if e.ID == id && !strings.HasPrefix(e.Type, "anchor.") {
			told = append(told, e.Type)
		}
	}
	if !slices.Equal(told, []string{what}) {
		o.T.Errorf("%s was told %v", o.Name, told)
	}
}

// Agree fails unless one transfer, and nothing else, is at both ends: the
// document whole, the states right, each told once, the records the same, and
// no file over.
func Agree(from, to *Org, id record.TransferID, d Document) {
	t := from.T
	t.Helper()
	sum := d.SHA256(t)
	for o, state := range map[*Org]string{from: "delivered", to: "received"} {
		all := o.AllTransfers()
		if len(all) != 1 || all[0].ID != id || all[0].State != state || all[0].SHA256 != sum || all[0].BytesDone != d.Size {
			t.Errorf("%s has %+v", o.Name, all)
		}
		Until(t, "one whole file", o.OneWholeFile)
	}
	from.WantTold(id, "transfer.delivered")
	to.WantTold(id, "document.received")
	to.keepsSum(id, sum)
	ours, _ := from.ParsedEvidence(id)
	theirs, _ := to.ParsedEvidence(id)
	same := func(a, b record.Envelope) bool { return string(a.Bytes()) == string(b.Bytes()) }
	if !same(ours.Record, theirs.Record) || len(ours.Receipts) != 1 || !slices.EqualFunc(ours.Receipts, theirs.Receipts, same) {
		t.Error("the two sides hold different records")
	}
}

// OneWholeFile says what is amiss where one payload should be.
func (o *Org) OneWholeFile() string {
	names := o.Payloads()
	if len(names) == 1 && !strings.HasSuffix(names[0], ".partial") {
		return ""
	}
	return fmt.Sprintf("%s keeps %v", o.Name, names)
}

// Says fails unless the organisation has the message under the id.
func (o *Org) Says(id record.TransferID, want []byte) {
	o.T.Helper()
	c, err := o.Content(o.T.Context(), id)
	Check(o.T, err)
	defer c.Close()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
		o.T.Errorf("%s has %q under %s (%v)", o.Name, got, id, err)
	}
}

// A small document goes along with its offer; a large one has a row while it
// is received.
const (
	Small = 20 << 10
	Large = 3 << 20
)

// Number reads the number of a transfer's manifest.
func (o *Org) Number(id record.TransferID) record.Number {
	o.T.Helper()
	e, _ := o.ParsedEvidence(id)
	n, err := record.NumberOf(e.Record)
	Check(o.T, err)
	return n
}
