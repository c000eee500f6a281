package api

import (
	"context"
	"io"

	"dxd/api/apitype"
	"dxd/exchange"
	"dxd/record"
)

const applicationBody = "A string of the application's, of up to 64 KiB of UTF-8, which the sender gets back as it is inside the signed receipt; may be empty"

type acceptInput struct {
	ID string `path:"id"`
	request
}

func (a *API) accept(ctx context.Context, in *acceptInput) (apitype.Transfer, error) {
	return a.say(ctx, in.ID, &in.request, exchange.Word{State: exchange.Accepted})
}

type refuseInput struct {
	ID     string `path:"id"`
	Reason string `query:"reason" required:"true" doc:"For the people on the other side: printable text of up to 1,024 bytes"`
	request
}

func (a *API) refuseTransfer(ctx context.Context, in *refuseInput) (apitype.Transfer, error) {
	return a.say(ctx, in.ID, &in.request, exchange.Word{State: exchange.Refused, Reason: in.Reason})
}

// say takes the application's string from the body, not from JSON: decoders
// replace what is not UTF-8 without a word, and it would be signed like that.
func (a *API) say(ctx context.Context, transfer string, q *request, w exchange.Word) (apitype.Transfer, error) {
	id, err := record.ParseTransferID(transfer)
	if err != nil {
		return apitype.Transfer{}, err
	}
	if _, err := q.mediaType(); err != nil {
		return apitype.Transfer{}, err
	}
	raw, err := io.ReadAll(io.LimitReader(q.document(), record.MaxApplication+1))
	if err != nil {
		return apitype.Transfer{}, err
	}
	w.Application = string(raw)
	v, err := a.Exchange.Say(ctx, id, w)
	if err != nil {
		return apitype.Transfer{}, err
	}
	return a.withWord(ctx, v)
}

// withWord adds what the recipient's application said, which may be long.
func (a *API) withWord(ctx context.Context, v exchange.View) (apitype.Transfer, error) {
	out := transferJSON(v)
	if !v.State.Said() {
		return out, nil
	}
	var err error
	out.Application, err = a.Exchange.Application(ctx, v.ID)
	return out, err
}
