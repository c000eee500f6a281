package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

func TestSelfCardAndVersionTellWhoThisIs(t *testing.T) {
	h := newHouse(t)
	c, ctx := h.client(), t.Context()
	self, err := c.Self(ctx)
	check(t, err)
	if self.Name != "Our House" || self.Fingerprint != self.Org.Fingerprint() || self.Peer.IsZero() || len(self.Addresses) != 1 {
		t.Errorf("self is %+v", self)
	}
	raw, err := c.Card(ctx)
	check(t, err)
	file, err := record.OpenCardFile(raw)
	check(t, err)
	if file.Card.Body.Org != self.Org || len(file.Presence) != 1 {
		t.Errorf("the card file is of %s with %d presences", file.Card.Body.Org, len(file.Presence))
	}
	if v, err := c.Version(ctx); err != nil || v.Version != "1.2.3" {
		t.Errorf("version is %+v, %v", v, err)
	}
	if v, err := c.Health(ctx); err != nil || v.Status != "ready" {
		t.Errorf("health is %+v, %v", v, err)
	}
}

func TestPartnersComeAndGo(t *testing.T) {
	h := newHouse(t)
	c, ctx := h.client(), t.Context()
	file, org := neighbour(t, "Bob & Söhne")
	if _, err := c.AddPartner(ctx, "bob", file, record.Fingerprint{1}.String()); record.KindOf(err) != record.Refused {
		t.Errorf("a wrong fingerprint: %v", err)
	}
	p, err := c.AddPartner(ctx, "bob", file, org.Fingerprint().String())
	check(t, err)
	if p.Alias != "bob" || p.Org != org || p.Serial != 1 || p.Name != "Bob & Söhne" || p.State != "active" || p.LastSeen != nil {
		t.Errorf("added %+v", p)
	}
	h.sent("a.txt", "text/plain", []byte("a"))
	for _, step := range []struct {
		do    func(context.Context, string) (apitype.Partner, error)
		state string
	}{{c.Partner, "active"}, {c.SuspendPartner, "suspended"}, {c.ResumePartner, "active"}} {
		if p, err = step.do(ctx, "bob"); err != nil || p.State != step.state || p.Queued != 1 {
			t.Errorf("%+v, %v; not %s with one queued", p, err, step.state)
		}
	}
	if p, err = c.RemovePartner(ctx, "bob"); err != nil || p.State != "removed" || p.Queued != 0 {
		t.Errorf("removed %+v, %v", p, err)
	}
	if all, err := c.Partners(ctx); err != nil || len(all) != 0 {
		t.Errorf("listed %v, %v", all, err)
	}
	if _, err := c.Partner(ctx, "bob"); record.KindOf(err) != record.NotFound || record.Hint(err) == "" {
		t.Errorf("a removed partner: %v", err)
	}
	left, err := c.Transfers(ctx, client.Filter{Partner: org.String()})
	if err != nil || len(left) != 1 || left[0].State != "failed" || left[0].Reason != "removed" {
		t.Errorf("what was queued: %+v, %v", left, err)
	}
}

func TestAPartnerThatIsConnectedIsSeenNow(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	c, ctx := h.client(), t.Context()
	h.linked.Store(true)
	asked := time.Now().Truncate(time.Millisecond)
	all, err := c.Partners(ctx)
	check(t, err)
	if p := all[0]; !p.Connected || p.LastSeen == nil || p.LastSeen.Before(asked) {
		t.Errorf("connected, and seen at %v, not from %s on", p.LastSeen, asked)
	}
	h.linked.Store(false)
	if p, err := c.Partner(ctx, "bob"); err != nil || p.Connected || p.LastSeen != nil {
		t.Errorf("%+v, %v: there never was a connection that ended", p, err)
	}
}

func TestADocumentGoesInAndComesOut(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	h.pair("carol")
	c, ctx := h.client(), t.Context()
	doc := pattern(3 << 20)
	sum := sha256.Sum256(doc)
	out, err := c.Send(ctx, client.Submission{To: []string{"carol", "bob"}, Name: "Bericht Köln.pdf", Type: "application/pdf", Expires: time.Hour},
		bytes.NewReader(doc), int64(len(doc)))
	check(t, err)
	if out.SHA256 != hex.EncodeToString(sum[:]) || out.Digest != record.Digest(sum) || out.Size != 3<<20 || len(out.Transfers) != 2 {
		t.Fatalf("submitted %+v", out)
	}
	for _, tr := range out.Transfers {
		got, err := c.Transfer(ctx, tr.ID)
		check(t, err)
		if got.Partner != tr.To || got.Name != "Bericht Köln.pdf" || got.Type != "application/pdf" || got.SHA256 != out.SHA256 ||
			got.Direction != "out" || got.Kind != "document" || got.Expires.Sub(got.Created) != time.Hour || got.Anchor != "unanchored" {
			t.Errorf("transfer %+v", got)
		}
		content, err := c.Content(ctx, tr.ID)
		check(t, err)
		if b := readAll(t, content); !bytes.Equal(b, doc) || content.Name != "Bericht Köln.pdf" || content.Size != 3<<20 || content.Digest != record.Digest(sum) {
			t.Errorf("content is %d bytes, named %q", len(b), content.Name)
		}
		check(t, content.Close())
	}
	all, err := c.Transfers(ctx, client.Filter{Direction: "out", Limit: 1})
	check(t, err)
	rest, err := c.Transfers(ctx, client.Filter{After: all[0].ID})
	check(t, err)
	if len(all) != 1 || len(rest) != 1 || all[0].ID == rest[0].ID {
		t.Errorf("pages %v and %v", all, rest)
	}
}

func TestTheSealedContentIsAnAgeFile(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	id := h.sent("a.bin", "", pattern(100_000))
	content, err := h.client().SealedContent(t.Context(), id)
	check(t, err)
	b := readAll(t, content)
	if !bytes.HasPrefix(b, []byte("age-encryption.org/v1\n")) || content.Name != "a.bin.age" || int64(len(b)) != content.Size {
		t.Errorf("%d bytes named %q: %.30q", len(b), content.Name, b)
	}
	check(t, content.Close())
}

func TestDocumentsOfAnyAnnouncement(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	c, ctx := h.client(), t.Context()
	for name, v := range map[string]struct {
		body io.Reader
		size int64
		kind record.Kind
		want int64
	}{
		"an empty one":                   {strings.NewReader(""), 0, record.Internal, 0},
		"an empty one of unknown length": {strings.NewReader(""), -1, record.Internal, 0},
		"one of unknown length":          {bytes.NewReader(pattern(200_000)), -1, record.Internal, 200_000},
		"one read byte by byte":          {iotest.OneByteReader(strings.NewReader("abc")), 3, record.Internal, 3},
		"one that is cut short":          {strings.NewReader("ab"), 3, record.Invalid, 0},
		"one that grows":                 {strings.NewReader("abcd"), 3, record.Invalid, 0},
		"one that grows from nothing":    {strings.NewReader("a"), 0, record.Invalid, 0},
		"a large one that grows":         {bytes.NewReader(pattern(500_001)), 500_000, record.Invalid, 0},
		"one that can't be read":         {iotest.ErrReader(io.ErrNoProgress), -1, record.Invalid, 0},
		"one that breaks off":            {io.MultiReader(bytes.NewReader(pattern(300_000)), iotest.ErrReader(io.ErrNoProgress)), -1, record.Invalid, 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(h.list())
			out, err := c.Send(ctx, client.Submission{To: []string{"bob"}, Name: "x"}, v.body, v.size)
			if v.kind == record.Internal {
				if err != nil || out.Size != v.want {
					t.Fatalf("size %d, %v", out.Size, err)
				}
				return
			}
			if record.KindOf(err) != v.kind {
				t.Errorf("the error is %v", err)
			}
			if len(h.list()) != before {
				t.Error("it was taken all the same")
			}
		})
	}
	h.stop() // every upload that broke off has been cleaned up by now
	if n := h.files(); n != 4 {
		t.Errorf("%d payload files, not 4", n)
	}
}

func (h *house) list() []apitype.Transfer {
	h.t.Helper()
	all, err := h.client().Transfers(h.t.Context(), client.Filter{Limit: 1000})
	check(h.t, err)
	return all
}

func TestARequestIDMakesSendIdempotent(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	s := client.Submission{To: []string{"bob"}, Name: "x", RequestID: "order 1"}
	first, err := h.client().Send(t.Context(), s, bytes.NewReader(pattern(1<<20)), 1<<20)
	check(t, err)
	again, err := h.client().Send(t.Context(), s, bytes.NewReader(pattern(1<<20)), 1<<20)
	check(t, err)
	if first.Transfers[0].ID != again.Transfers[0].ID || len(h.list()) != 1 {
		t.Errorf("%v, then %v", first, again)
	}
}

func TestWaitEndsWithTheGoalAFailureOrTheCallersPatience(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	c := h.client()
	id := h.sent("x", "", []byte("x"))
	if got, err := c.Wait(t.Context(), id, "queued", nil); err != nil || got.State == "failed" {
		t.Errorf("waited for queued: %+v, %v", got, err)
	}
	if _, err := c.Wait(t.Context(), id, "sunrise", nil); record.KindOf(err) != record.Invalid {
		t.Errorf("waited for nonsense: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Wait(soon, id, "delivered", nil); record.KindOf(err) != record.Timeout {
		t.Errorf("an impatient caller: %v", err)
	}
	waited := make(chan apitype.Transfer, 1)
	seen := make(chan string, 100)
	go func() {
		got, err := c.Wait(t.Context(), id, "anchored", func(tr apitype.Transfer) { seen <- tr.State })
		if err != nil {
			t.Error(err)
		}
		waited <- got
	}()
	<-seen
	if got, err := c.Cancel(t.Context(), id); err != nil || got.State != "cancelled" {
		t.Errorf("cancelled %+v, %v", got, err)
	}
	if got := <-waited; got.State != "cancelled" {
		t.Errorf("the wait ended with %+v", got)
	}
	if _, err := c.Cancel(t.Context(), id); err != nil {
		t.Errorf("cancelled twice: %v", err)
	}
}

func TestABackupThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	h := newHouse(t)
	for _, breaks := range []bool{false, true} {
		h.breaks.Store(breaks)
		var got []byte
		r, err := h.client().Backup(t.Context())
		if err == nil {
			got, err = io.ReadAll(r)
			r.Close()
		}
		if (err != nil) != breaks || !breaks && string(got) != "a backup" {
			t.Errorf("broken off: %v; %q came, %v", breaks, got, err)
		}
	}
}

func TestNotarisationsAndEvidence(t *testing.T) {
	h := newHouse(t)
	c, ctx := h.client(), t.Context()
	n, err := c.Notarize(ctx, "will.txt", "text/plain", strings.NewReader("mine"), 4)
	check(t, err)
	got, err := c.Transfer(ctx, n.ID)
	if err != nil || got.State != "recorded" || got.Direction != "none" || got.Kind != "notarization" || got.SHA256 != n.SHA256 {
		t.Errorf("%+v, %v", got, err)
	}
	if file, err := c.Evidence(ctx, n.ID); err != nil || !bytes.Contains(file, []byte("vnd.dxd.evidence.v1+json")) {
		t.Errorf("evidence %.80s, %v", file, err)
	}
	if _, err := c.ProvenEvidence(ctx, n.ID); record.KindOf(err) != record.Conflict || record.Hint(err) == "" {
		t.Errorf("a state proof before the anchor: %v", err)
	}
	if _, err := c.Content(ctx, n.ID); record.KindOf(err) != record.NotFound {
		t.Errorf("content of a notarisation: %v", err)
	}
	status, err := c.AnchorStatus(ctx)
	if err != nil || status.Unanchored != 1 || status.ChainID != 0 || status.Contract != nil || status.Account.IsZero() {
		t.Errorf("anchor status %+v, %v", status, err)
	}
	if _, err := c.DeployAnchor(ctx, ""); record.KindOf(err) != record.Invalid || record.Hint(err) != "give its endpoint" {
		t.Errorf("deploy without an endpoint: %v", err)
	}
	if d, err := c.DeployAnchor(ctx, "http://chain"); err != nil || d.ChainID != 31337 || d.Tx != (record.Hash{1}) {
		t.Errorf("deployed %+v, %v", d, err)
	}
	if d, err := c.Doctor(ctx, "bob"); err != nil || len(d.Checks) != 1 || d.Checks[0].Detail != "asked about bob" {
		t.Errorf("doctor %+v, %v", d, err)
	}
}

func TestWhatDoesNotExistIsNotFound(t *testing.T) {
	h := newHouse(t)
	c, ctx := h.client(), t.Context()
	unknown, err := record.ParseTransferID("0190b8f0-3c5e-7abc-8def-0123456789ab")
	check(t, err)
	for name, call := range map[string]func() error{
		"transfer": func() error { _, err := c.Transfer(ctx, unknown); return err },
		"content":  func() error { _, err := c.Content(ctx, unknown); return err },
		"sealed":   func() error { _, err := c.SealedContent(ctx, unknown); return err },
		"evidence": func() error { _, err := c.Evidence(ctx, unknown); return err },
		"cancel":   func() error { _, err := c.Cancel(ctx, unknown); return err },
		"erase":    func() error { _, err := c.Erase(ctx, unknown); return err },
		"ask":      func() error { _, err := c.EraseAndAsk(ctx, unknown); return err },
		"keep":     func() error { _, err := c.RefuseErase(ctx, unknown, "why"); return err },
		"erasure":  func() error { _, err := c.Erasure(ctx, unknown); return err },
		"hold":     func() error { _, err := c.Hold(ctx, unknown); return err },
		"release":  func() error { _, err := c.Release(ctx, unknown); return err },
		"accept":   func() error { _, err := c.Accept(ctx, unknown, "ok"); return err },
		"refuse":   func() error { _, err := c.Refuse(ctx, unknown, "no", ""); return err },
		"wait":     func() error { _, err := c.Wait(ctx, unknown, "delivered", nil); return err },
		"after":    func() error { _, err := c.Transfers(ctx, client.Filter{After: unknown}); return err },
		"partner":  func() error { _, err := c.Transfers(ctx, client.Filter{Partner: "nobody"}); return err },
		"suspend":  func() error { _, err := c.SuspendPartner(ctx, "nobody"); return err },
	} {
		if err := call(); record.KindOf(err) != record.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Send(ctx, client.Submission{To: []string{"nobody"}, Name: "x"}, strings.NewReader("x"), 1); record.KindOf(err) != record.Refused {
		t.Errorf("send to nobody: %v", err)
	}
}
