package e2e

import (
	"crypto/sha256"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"dxd/client"
	"dxd/crypto"
	"dxd/record"
	"dxd/test/party"
)

// place is where somebody may look who has no passphrase, and what may not be
// seen there.
type place struct {
	path   string
	marked marked
}

const (
	senderState    = "the state of the sender"
	recipientState = "the state of the recipient"
	senderBackup   = "a backup of the sender"
	senderLog      = "the log of the sender"
	recipientLog   = "the log of the recipient"
	chainState     = "the chain"
)

// places are where to look: what an organisation keeps tells nothing of whom it
// deals with, and the chain knows accounts alone.
func (o observed) places() map[string]place {
	ofA, ofB := o.identity(o.a), o.identity(o.b)
	return map[string]place{
		senderState: {o.a.Dir, o.with(ofB)}, senderBackup: {o.backupOf(o.a), o.with(ofB)}, senderLog: {o.a.Log, o.with(ofB)},
		recipientState: {o.b.Dir, o.with(ofA)}, recipientLog: {o.b.Log, o.with(ofA)},
		chainState: {o.chain.Dir, o.with(ofA, ofB)},
	}
}

func (o observed) with(more ...marked) marked {
	all := maps.Clone(o.marked)
	for _, m := range more {
		maps.Copy(all, m)
	}
	return all
}

// addHashed marks a value and what a plain hash makes of it, by which one could
// test a guess.
func (m marked) addHashed(what string, value []byte) {
	m.add(what, value)
	sum := sha256.Sum256(value)
	m.add("the hash of "+what, sum[:])
}

// identity is by what an organisation could be known.
func (o observed) identity(org *party.Org) marked {
	m, whose := marked{}, " of "+org.Name[:5]
	m.addHashed("the key"+whose, org.Keys.Org().Key())
	m.addHashed("the id"+whose, []byte(org.Keys.Org().String()))
	m.addHashed("the node's key"+whose, org.Keys.Node().Key())
	m.addHashed("the node"+whose, []byte(org.Keys.Node().String()))
	m.addHashed("the signing key"+whose, []byte(org.Keys.Keys(crypto.RoleSigning)[0]))
	m.add("the key to seal for"+whose, []byte(org.Keys.Recipient()[100:160]))
	fingerprint := org.Keys.Org().Fingerprint().String()
	m.add("the fingerprint"+whose, []byte(fingerprint))
	if addr := strings.Trim(org.Config["announce"], `["]`); addr != "" {
		m.addHashed("the address"+whose, []byte(addr))
	}
	return m
}

// backupOf is a backup that was taken while the daemon ran, as a file.
func (o observed) backupOf(org *party.Org) string { return org.Dir + ".backup" }

// backUp takes it.
func (o observed) backUp(org *party.Org) {
	o.t.Helper()
	from, err := org.Client.Backup(o.t.Context())
	party.Check(o.t, err)
	defer from.Close()
	to, err := os.Create(o.backupOf(org))
	party.Check(o.t, err)
	_, err = io.Copy(to, from)
	party.Check(o.t, err)
	party.Check(o.t, to.Close())
}

// exchangeMore has both sides do all else that leaves something behind: words,
// messages, one of them refused, a notarisation, what waits for a partner that
// is suspended, and a backup.
func (o observed) exchangeMore() {
	t := o.t
	t.Helper()
	mark := func(what string) string {
		v := random(strings.ReplaceAll(what, " ", "-") + "-")
		o.marked.addHashed("the "+what, []byte(v))
		return v
	}
	for _, org := range []*party.Org{o.a, o.b} { // as guesses that can be tested
		o.marked.addHashed("the name of "+org.Name[:5], []byte(org.Name))
		o.marked.addHashed("the alias "+org.Alias[:8], []byte(org.Alias))
	}
	one, reason, application := mark("message"), mark("reason"), mark("application")
	sum := sha256.Sum256([]byte(one))
	o.marked.add("the digest of the message", sum[:])
	sent, err := o.a.SendMessage(t.Context(), client.Submission{To: []string{o.b.Alias}, RequestID: mark("message request")}, strings.NewReader(one), int64(len(one)))
	party.Check(t, err)
	id := sent.Transfers[0].ID
	o.a.Delivered(id)
	_, err = o.b.Refuse(t.Context(), id, reason, application)
	party.Check(t, err)
	o.a.WaitFor(party.Patience, id, "accepted")
	noted, content := mark("noted name"), mark("noted content")
	_, err = o.a.Notarize(t.Context(), noted, "", strings.NewReader(content), int64(len(content)))
	party.Check(t, err)
	_, err = o.b.SuspendPartner(t.Context(), o.a.Alias)
	party.Check(t, err)
	late, waits := mark("late name"), mark("late content")
	_, err = o.a.Send(t.Context(), client.Submission{To: []string{o.b.Alias}, Name: late}, strings.NewReader(waits), int64(len(waits)))
	party.Check(t, err)
	o.backUp(o.a)
	for _, org := range []*party.Org{o.a, o.b} {
		o.namesSayNothing(org, id)
	}
}

// namesSayNothing fails if a payload's name has to do with a transfer.
func (o observed) namesSayNothing(org *party.Org, ids ...record.TransferID) {
	o.t.Helper()
	m := marked{}
	for _, id := range ids {
		m.add("a transfer's id", id[:])
		m["a transfer's id as text"] = []byte(id.String())
	}
	for _, path := range org.Payloads() {
		if found := m.in([]byte(filepath.Base(path))); len(found) > 0 {
			o.t.Errorf("the payload %s: %v", path, found)
		}
	}
}
