package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"dxd/api/apitype"
	"dxd/exchange"
)

// pairingType is that of one JSON value a line.
const pairingType = "application/jsonl"

type pairInput struct {
	Body *apitype.Pair
	request
}

// pair tells how a pairing goes as long as the caller listens: with the
// connection it ends, and its ticket is void.
func (a *API) pair(_ context.Context, in *pairInput) (func(http.ResponseWriter), error) {
	ticket := ""
	if in.Body != nil {
		ticket = in.Body.Ticket
	}
	return func(w http.ResponseWriter) {
		ctx, stop := untilDraining(in.r.Context())
		defer stop()
		a.followPairing(ctx, &lines{w: w, log: a.noteLostLine}, in.r, ticket)
	}, nil
}

func (a *API) noteLostLine(err error) { a.Log.Debug("couldn't tell of a pairing", "error", err) }

func (a *API) followPairing(ctx context.Context, out *lines, r *http.Request, ticket string) {
	seen := func(p exchange.Pairing) {
		if p.State != exchange.PairingAdded { // which is told with the partner as it is then
			out.put(pairingJSON(p))
		}
	}
	pair := a.Exchange.Invite
	if ticket != "" {
		pair = func(ctx context.Context, seen func(exchange.Pairing)) (exchange.Pairing, error) {
			return a.Exchange.Join(ctx, ticket, seen)
		}
	}
	p, err := pair(ctx, seen)
	if err != nil && !out.begun {
		a.refuse(out.w, r, err)
		return
	}
	last := pairingJSON(p)
	if err != nil {
		last.State, last.Problem = "failed", &a.failure(ctx, err).Problem
	} else if added, err := a.partnerNow(ctx, p.Partner, nil); err == nil {
		last.Partner = &added
	} else {
		last.Problem = &a.failure(ctx, err).Problem
	}
	out.put(last)
}

// lines writes one JSON value a line, each at once.
type lines struct {
	w     http.ResponseWriter
	log   func(error)
	begun bool
}

// put writes a line. A caller who has gone ends the request's context, which
// whoever writes lines waits for anyway.
func (l *lines) put(v any) {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", pairingType)
	}
	err := json.NewEncoder(l.w).Encode(v)
	if err == nil {
		err = http.NewResponseController(l.w).Flush()
	}
	if err != nil {
		l.log(err)
	}
}

func pairingJSON(p exchange.Pairing) apitype.Pairing {
	out := apitype.Pairing{ID: p.ID, State: string(p.State), Ticket: p.Ticket, Expires: p.Expires.UTC(), Confirmed: p.Confirmed}
	card := p.File.Card.Body
	if card.Org.IsZero() { // they have not met
		return out
	}
	out.Other = &apitype.Met{
		Alias: p.Alias, Known: p.Known, Org: card.Org, Name: card.Name, Fingerprint: card.Org.Fingerprint(),
		Serial: card.Serial, Expires: time.UnixMilli(card.Expires).UTC(), Addresses: p.File.Addresses(),
	}
	return out
}

type answerPairingInput struct {
	ID   string `path:"id"`
	Body apitype.AnswerPairing
}

// answerPairing answers with what was understood.
func (a *API) answerPairing(ctx context.Context, in *answerPairingInput) (apitype.AnswerPairing, error) {
	alias, err := a.Exchange.AnswerPairing(ctx, in.ID, in.Body.Accept, in.Body.Alias)
	return apitype.AnswerPairing{Accept: in.Body.Accept, Alias: alias}, err
}
