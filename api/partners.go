package api

import (
	"context"
	"slices"
	"time"

	"dxd/api/apitype"
	"dxd/partner"
	"dxd/record"
)

type aliasInput struct {
	Alias string `path:"alias"`
}

func (a *API) listPartners(ctx context.Context, _ *none) ([]apitype.Partner, error) {
	waiting, err := a.Exchange.Waiting(ctx)
	if err != nil {
		return nil, err
	}
	all := []apitype.Partner{}
	for _, p := range a.Book.List() {
		all = append(all, a.partnerJSON(p, waiting))
	}
	return all, nil
}

func (a *API) getPartner(ctx context.Context, in *aliasInput) (apitype.Partner, error) {
	p, err := a.Book.ByAlias(in.Alias)
	return a.partnerNow(ctx, p, err)
}

func (a *API) partnerCard(ctx context.Context, in *aliasInput) ([]byte, error) {
	file, err := a.Exchange.PartnerCardFile(ctx, in.Alias)
	if err != nil {
		return nil, err
	}
	return file.Bytes()
}

type addPartnerInput struct {
	Body apitype.AddPartner
}

func (a *API) addPartner(ctx context.Context, in *addPartnerInput) (apitype.Partner, error) {
	file, err := record.OpenCardFile([]byte(in.Body.File))
	if err != nil {
		return apitype.Partner{}, err
	}
	if err := checkFingerprint(in.Body.Fingerprint, file.Card.Body.Org); err != nil {
		return apitype.Partner{}, err
	}
	p, err := a.Book.Add(ctx, file, in.Body.Alias)
	if err == nil {
		a.Exchange.PartnerChanged(p.Org)
	}
	return a.partnerNow(ctx, p, err)
}

// checkFingerprint compares what a person was told with the card.
func checkFingerprint(want string, org record.OrgID) error {
	if want == "" {
		return nil
	}
	f, err := record.ParseFingerprint(want)
	if err != nil {
		return err
	}
	if got := org.Fingerprint(); f != got {
		return record.WithHint(record.Errorf(record.Refused, "the card has the fingerprint %s, not %s", got, f),
			"the card is not of whom you expect: do not accept it before you have talked to them")
	}
	return nil
}

type quotaInput struct {
	Alias string `path:"alias"`
	Body  apitype.Limits
}

func (a *API) setQuota(ctx context.Context, in *quotaInput) (apitype.Partner, error) {
	l := in.Body
	p, err := a.Book.SetLimits(ctx, in.Alias, partner.Limits{
		Stored: l.Stored, InFlight: l.InFlight, Partials: l.Partials, Transfers: l.TransfersPerMinute, Events: l.UnacknowledgedEvents,
	})
	return a.partnerNow(ctx, p, err)
}

func (a *API) suspendPartner(ctx context.Context, in *aliasInput) (apitype.Partner, error) {
	p, err := a.Book.SetState(ctx, in.Alias, partner.Suspended, nothing)
	return a.partnerNow(ctx, p, err)
}

func (a *API) resumePartner(ctx context.Context, in *aliasInput) (apitype.Partner, error) {
	p, err := a.Book.SetState(ctx, in.Alias, partner.Active, a.Exchange.Resume)
	if err == nil {
		a.Exchange.PartnerChanged(p.Org) // a lane may have been stopped while the state was active
	}
	return a.partnerNow(ctx, p, err)
}

func (a *API) removePartner(ctx context.Context, in *aliasInput) (apitype.Partner, error) {
	p, err := a.Book.SetState(ctx, in.Alias, partner.Removed, a.Exchange.Remove)
	return a.partnerNow(ctx, p, err)
}

// nothing is what a change of state brings along in its update, where that is
// nothing. It is generic because transactions are no business of this room.
func nothing[Tx any](Tx, record.OrgID) error { return nil }

// partnerNow is a partner with what changes too fast to be stored.
func (a *API) partnerNow(ctx context.Context, p partner.Partner, err error) (apitype.Partner, error) {
	if err != nil {
		return apitype.Partner{}, err
	}
	waiting, err := a.Exchange.Waiting(ctx)
	if err != nil {
		return apitype.Partner{}, err
	}
	out := a.partnerJSON(p, waiting)
	lanes, err := a.Exchange.Lanes(ctx, p.Org)
	for _, l := range lanes {
		out.Lanes = append(out.Lanes, apitype.Lane{
			Lane: string(l.Lane), Sent: l.Sent, Acknowledged: l.Acknowledged,
			Received: l.Received, Complete: l.Complete, Stopped: l.Stopped, Held: l.Held,
		})
	}
	if err != nil {
		return out, err
	}
	measures, err := a.Exchange.Measures(ctx, p)
	for _, m := range measures {
		out.Quotas = append(out.Quotas, apitype.Quota{Name: m.Name, Used: m.Used, Limit: m.Limit, Own: m.Own})
	}
	return out, err
}

func (a *API) partnerJSON(p partner.Partner, waiting map[record.OrgID]int64) apitype.Partner {
	card := p.Card.Body
	out := apitype.Partner{
		Alias: p.Alias, Org: p.Org, Name: p.Name(), State: string(p.State),
		Connected: slices.ContainsFunc(card.Nodes, a.Connected), Queued: waiting[p.Org],
		Fingerprint: p.Org.Fingerprint(), Serial: card.Serial, Expires: time.UnixMilli(card.Expires).UTC(),
		Addresses: list(p.AllAddresses()),
	}
	seen := p.LastSeen.UTC()
	if out.Connected { // what is stored is when that began
		seen = a.Exchange.Now().UTC().Truncate(time.Millisecond)
	}
	if !seen.IsZero() {
		out.LastSeen = &seen
	}
	return out
}
