package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"dxd/api/apitype"
	"dxd/record"
)

// Pair becomes partners with another organisation: without a ticket it has one
// issued, and with one it goes to who issued it. seen is told of each state
// but the last, from the calling goroutine; when it says asking, AnswerPairing
// has to follow. The pairing ends with ctx, and a ticket that nobody has used
// is void then.
func (c *Client) Pair(ctx context.Context, ticket string, seen func(apitype.Pairing)) (apitype.Pairing, error) {
	k := call{method: http.MethodPost, path: []string{"pairings"}, within: c.patience}
	if err := k.json(apitype.Pair{Ticket: ticket}); err != nil {
		return apitype.Pairing{}, err
	}
	resp, err := c.do(ctx, k)
	if err != nil {
		return apitype.Pairing{}, err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)); ; {
		var p apitype.Pairing
		switch err := lines.Decode(&p); {
		case ctx.Err() != nil:
			return apitype.Pairing{}, context.Cause(ctx)
		case err != nil:
			return apitype.Pairing{}, record.WithHint(record.Errorf(record.Unreachable, "the daemon ended before the pairing did: %w", err),
				"`dxd partner list` shows whether they were added; else pair again with a new ticket")
		case p.State == "failed" && p.Problem != nil:
			return p, errorOf(*p.Problem)
		case p.State == "added":
			return p, nil
		}
		seen(p)
	}
}

// AnswerPairing says yes or no to the other side's card. The alias may be
// empty, for the one that was proposed; if it can't be had, the error says so,
// and the question stays open.
func (c *Client) AnswerPairing(ctx context.Context, id string, accept bool, alias string) (apitype.AnswerPairing, error) {
	return post[apitype.AnswerPairing](ctx, c, c.patience, apitype.AnswerPairing{Accept: accept, Alias: alias}, "pairings", id, "answer")
}
