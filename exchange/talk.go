package exchange

import (
	"context"
	"errors"
	"slices"
	"time"

	"dxd/partner"
	"dxd/record"
)

// talk is a pairing whose two sides are connected. One of them, the host,
// issued the ticket; the other is its visitor.
type talk struct {
	x     *Exchange
	p     *pairing
	link  *link
	view  Pairing
	seen  func(Pairing)
	words chan word // what the other side says; closed when no more comes
	heard bool      // whether that is listened to
}

// maxWords is the most that one side has to say.
const maxWords = 3

func (x *Exchange) talk(p *pairing, s Stream, view Pairing, seen func(Pairing)) *talk {
	return &talk{x: x, p: p, link: newLink(s), view: view, seen: seen, words: make(chan word, maxWords)}
}

func (t *talk) show(s PairingState) {
	t.view.State = s
	t.seen(t.view)
}

// showCard gives the other side our card. A visitor, whose key stands on no
// card, proves which node it comes from.
func (t *talk) showCard(node record.NodeID, proof []byte) error {
	file, err := t.x.Book.CardFile(t.x.Addrs())
	if err != nil {
		return err
	}
	return t.link.send(framePair, pairFrame{Version: wireVersion, File: file.File(), Node: node, Proof: proof})
}

// takeCard reads the card of the other side. from tells which of the card's
// nodes is there.
func (t *talk) takeCard(from func(pairFrame) (record.NodeID, error)) error {
	var f pairFrame
	if err := t.link.expect(framePair, &f); err != nil {
		return err
	}
	if f.Version != wireVersion {
		return record.Errorf(record.Invalid, "a pairing of version %d", f.Version)
	}
	node, err := from(f)
	if err != nil {
		return err
	}
	if t.view.File, err = f.File.Open(); err != nil {
		return err
	}
	if !slices.Contains(t.view.File.Card.Body.Nodes, node) {
		return record.Errorf(record.Invalid, "the card does not name the node that it comes from")
	}
	return nil
}

// ask puts the question to the person here, unless the card could not be
// accepted anyway.
func (t *talk) ask(ctx context.Context) (<-chan verdict, error) {
	t.link.patience, t.heard = pairingPatience, true
	go t.listen() // until hangUp
	file := t.view.File
	alias, err := t.x.aliasFor(file, "")
	if err == nil {
		err = t.x.Book.MayAdd(ctx, file, alias)
	}
	if err != nil {
		t.tell(wordNo)
		return nil, err
	}
	known, err := t.x.Book.ByOrg(file.Card.Body.Org)
	t.view.Known = err == nil && known.State != partner.Removed
	t.view.Alias, t.view.Expires = alias, t.x.Now().Add(pairingPatience)
	answers := t.p.ask(file)
	t.show(PairingAsks)
	return answers, nil
}

// listen hands on what the other side says.
func (t *talk) listen() {
	defer close(t.words)
	for range maxWords {
		var f wordFrame
		if t.link.expect(frameWord, &f) != nil {
			return
		}
		t.words <- f.Word
	}
}

// tell says something to the other side. That it does not hear any more shows
// when it is listened to.
func (t *talk) tell(w word) {
	if err := t.link.send(frameWord, wordFrame{w}); err != nil {
		t.x.Log.Debug("couldn't tell the other side of a pairing", "word", string(w), "error", err)
	}
}

// parting bounds how long the other side may take to hang up, too.
const parting = 5 * time.Second

// hangUp ends the talk once the other side has heard all, so that the last
// word is not lost with the connection.
func (t *talk) hangUp() {
	defer closeQuietly(t.link)
	if !t.heard {
		return
	}
	stop := time.AfterFunc(parting, resetter(t.link))
	defer stop.Stop()
	if t.link.CloseWrite() != nil {
		t.link.Reset()
	}
	for range t.words {
	}
}

// add makes the other side a partner, whole or not at all.
func (t *talk) add(ctx context.Context, alias string) (err error) {
	t.x.at(BeforePaired)
	t.view.Partner, err = t.x.Book.Add(context.WithoutCancel(ctx), t.view.File, alias)
	if err == nil {
		t.x.at(AfterPaired)
	}
	return err
}

// whyEnded is the error of a context that is over: the bound that ended it, or
// that the caller went away.
func whyEnded(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return ctx.Err()
}
