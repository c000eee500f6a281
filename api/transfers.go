package api

import (
	"context"
	"errors"
	"io"
	"time"

	"dxd/api/apitype"
	"dxd/exchange"
	"dxd/record"
)

// MessageInput is exported for huma, which sees no fields of others that are
// embedded.
type MessageInput struct {
	To        []string `query:"to,explode" required:"true" doc:"Alias of a recipient; may be repeated"`
	RequestID string   `query:"request_id" doc:"Makes the call idempotent"`
	Expires   string   `query:"expires" doc:"When delivery is given up, such as 24h; 168h unless told"`
	request
}

type sendInput struct {
	Name   string `query:"name" required:"true" doc:"The document's name"`
	Stream bool   `query:"stream" doc:"Send the body on while it is read"`
	MessageInput
}

// send streams the body into the exchange. It reads as fast as the document is
// sealed, however long that takes.
func (a *API) send(ctx context.Context, in *sendInput) (apitype.Submitted, error) {
	return in.submit(ctx, exchange.Submission{Name: in.Name, Stream: in.Stream}, a.Exchange.Submit)
}

func (a *API) sendMessage(ctx context.Context, in *MessageInput) (apitype.Submitted, error) {
	return in.submit(ctx, exchange.Submission{}, a.Exchange.SubmitMessage)
}

func (in *MessageInput) submit(ctx context.Context, s exchange.Submission,
	submit func(context.Context, exchange.Submission, io.Reader) ([]exchange.View, error)) (apitype.Submitted, error) {
	s.To, s.RequestID, s.Size = in.To, in.RequestID, in.r.ContentLength
	var err error
	if s.MediaType, err = in.mediaType(); err != nil {
		return apitype.Submitted{}, err
	}
	if s.Expires, err = duration("expires", in.Expires); err != nil {
		return apitype.Submitted{}, err
	}
	views, err := submit(ctx, s, in.document())
	if err != nil {
		return apitype.Submitted{}, err
	}
	out := apitype.Submitted{Transfers: []apitype.SubmittedTransfer{}}
	for _, v := range views {
		out.Transfers = append(out.Transfers, apitype.SubmittedTransfer{ID: v.ID, To: v.Alias, State: string(v.State)})
		out.Digest, out.SHA256, out.Size = v.Digest, v.Digest.Hex(), v.Size
	}
	return out, nil
}

type notarizeInput struct {
	Name string `query:"name" required:"true" doc:"The document's name"`
	request
}

func (a *API) notarize(ctx context.Context, in *notarizeInput) (apitype.Notarized, error) {
	mediaType, err := in.mediaType()
	if err != nil {
		return apitype.Notarized{}, err
	}
	v, err := a.Exchange.Notarize(ctx, in.Name, mediaType, in.r.ContentLength, in.document())
	if err != nil {
		return apitype.Notarized{}, err
	}
	return apitype.Notarized{ID: v.ID, SHA256: v.Digest.Hex()}, nil
}

// document is the file that was handed over, else the body. That the caller's
// connection broke is no fault of ours, so it must not look internal.
func (q *request) document() io.Reader {
	if f := handed(q.r); f != nil {
		return f
	}
	return uploadReader{q.r.Body}
}

type uploadReader struct{ body io.Reader }

func (u uploadReader) Read(p []byte) (int, error) {
	n, err := u.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = record.Errorf(record.Invalid, "the upload broke off: %w", err)
	}
	return n, err
}

// mediaType is the document's. Forms are refused: what is meant is the file in
// it, and what would be sent is the form.
func (q *request) mediaType() (string, error) {
	switch mediaTypeOf(q.r) {
	case "multipart/form-data", "application/x-www-form-urlencoded":
		return "", record.WithHint(record.Errorf(record.Invalid, "the body is a form; it must be the document as it is"),
			"with curl: -H 'Content-Type: application/octet-stream' --data-binary @FILE, or -T FILE")
	}
	return q.r.Header.Get("Content-Type"), nil
}

// duration reads an optional duration.
func duration(name, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, record.WithHint(record.Errorf(record.Invalid, "%s is not a duration: %q", name, record.Printable(s, 40)),
			"a duration looks like 90s, 30m or 24h")
	}
	return d, nil
}

type listInput struct {
	Direction string `query:"direction" enum:"in,out,none"`
	Partner   string `query:"partner" doc:"Alias, or the organisation's identifier"`
	State     string `query:"state" enum:"queued,sending,delivered,accepted,refused,failed,cancelled,receiving,received,recorded"`
	Limit     int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	After     string `query:"after" doc:"Id of a transfer: begin with the next older one"`
}

func (a *API) listTransfers(ctx context.Context, in *listInput) ([]apitype.Transfer, error) {
	f := exchange.Filter{Direction: exchange.Direction(in.Direction), State: exchange.State(in.State), Limit: in.Limit}
	var err error
	if in.After != "" {
		if f.After, err = record.ParseTransferID(in.After); err != nil {
			return nil, err
		}
	}
	if in.Partner != "" {
		if f.Partner, err = a.partnerOrg(in.Partner); err != nil {
			return nil, err
		}
	}
	views, err := a.Exchange.List(ctx, f)
	if err != nil {
		return nil, err
	}
	all := make([]apitype.Transfer, 0, len(views))
	for _, v := range views {
		all = append(all, transferJSON(v))
	}
	return all, nil
}

// partnerOrg finds an organisation by alias, or by its identifier, since a
// partner that was removed has no alias.
func (a *API) partnerOrg(s string) (record.OrgID, error) {
	p, err := a.Book.ByAlias(s)
	if err == nil {
		return p.Org, nil
	}
	if org, parseErr := record.ParseOrgID(s); parseErr == nil {
		return org, nil
	}
	return record.OrgID{}, err
}

type idInput struct {
	ID string `path:"id"`
}

type getInput struct {
	ID      string `path:"id"`
	Wait    string `query:"wait" doc:"Answer once it has come that far: queued, delivered, accepted or anchored"`
	Timeout string `query:"timeout" doc:"How long to wait at most; 30s unless told, and no more than 10m"`
}

const (
	defaultWait = 30 * time.Second
	maxWait     = 10 * time.Minute
)

func (a *API) getTransfer(ctx context.Context, in *getInput) (apitype.Transfer, error) {
	id, err := record.ParseTransferID(in.ID)
	if err != nil {
		return apitype.Transfer{}, err
	}
	var v exchange.View
	if in.Wait == "" {
		v, err = a.Exchange.Get(ctx, id)
	} else {
		v, err = a.wait(ctx, id, exchange.Goal(in.Wait), in.Timeout)
	}
	if err != nil {
		return apitype.Transfer{}, err
	}
	return a.withWord(ctx, v)
}

func (a *API) wait(ctx context.Context, id record.TransferID, goal exchange.Goal, timeout string) (exchange.View, error) {
	if err := exchange.CheckGoal(goal); err != nil {
		return exchange.View{}, err
	}
	patience, err := duration("timeout", timeout)
	if err != nil {
		return exchange.View{}, err
	}
	if patience == 0 {
		patience = defaultWait
	}
	ctx, stop := untilDraining(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, min(patience, maxWait))
	defer cancel()
	v, err := a.Exchange.Wait(ctx, id, goal, nil)
	if errors.Is(err, context.DeadlineExceeded) {
		return v, record.Errorf(record.Timeout, "the transfer is %s (anchor: %s); it goes on", v.State, v.Anchor)
	}
	return v, err
}

func (a *API) cancel(ctx context.Context, in *idInput) (apitype.Transfer, error) {
	id, err := record.ParseTransferID(in.ID)
	if err != nil {
		return apitype.Transfer{}, err
	}
	v, err := a.Exchange.Cancel(ctx, id)
	if err != nil {
		return apitype.Transfer{}, err
	}
	return transferJSON(v), nil
}

type evidenceInput struct {
	ID         string `path:"id"`
	StateProof bool   `query:"state_proof" doc:"With proofs of the chain's state, which are checked down to a block's hash"`
}

func (a *API) evidence(ctx context.Context, in *evidenceInput) ([]byte, error) {
	id, err := record.ParseTransferID(in.ID)
	if err != nil {
		return nil, err
	}
	file, err := a.Exchange.Evidence(ctx, id)
	if err != nil || !in.StateProof {
		return file, err
	}
	return a.Prove(ctx, file)
}

func transferJSON(v exchange.View) apitype.Transfer {
	out := apitype.Transfer{
		ID: v.ID, Direction: string(v.Direction), Partner: v.Alias, Org: v.Partner, Kind: v.Kind, Name: v.Name, Type: v.MediaType,
		Size: v.Size, BytesDone: v.BytesDone, WireBytes: v.WireBytes, State: string(v.State), Reason: v.Reason,
		Anchor: string(v.Anchor), RequestID: v.RequestID, Erased: v.Erased != 0, ErasedBy: v.ErasedBy,
		Held: v.Hold.Since != 0, HeldBy: v.Hold.By,
		Created: time.UnixMilli(v.Created).UTC(), Updated: time.UnixMilli(v.Updated).UTC(),
	}
	if !v.Digest.IsZero() {
		out.SHA256 = v.Digest.Hex()
	}
	if a := v.Asking; a.Asked != 0 {
		out.AskedPartner = &apitype.AskedPartner{At: time.UnixMilli(a.Asked).UTC(), Answer: string(a.Answer), AnsweredAt: optionalTime(a.Answered), Reason: a.Reason}
	}
	if a := v.Asking; a.Requested != 0 {
		out.EraseRequest = &apitype.EraseRequest{At: time.UnixMilli(a.Requested).UTC(), Answer: string(a.Said)}
	}
	out.Expires, out.ErasedAt, out.HeldAt = optionalTime(v.Expires), optionalTime(v.Erased), optionalTime(v.Hold.Since)
	return out
}

// optionalTime is nil where there is no time.
func optionalTime(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}
