package api

import (
	"context"
	"time"

	"dxd/api/apitype"
	"dxd/event"
	"dxd/record"
)

type subscriptionInput struct {
	Name string `path:"name"`
}

type subscribeInput struct {
	Name string `path:"name"`
	Body *apitype.Subscribe
}

type ackInput struct {
	Name string `path:"name"`
	Body apitype.Ack
}

func (a *API) listSubscriptions(ctx context.Context, _ *struct{}) ([]apitype.Subscription, error) {
	standings, err := a.Events.Standings(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]apitype.Subscription, 0, len(standings))
	for _, s := range standings {
		all = append(all, subscriptionJSON(s))
	}
	return all, nil
}

func (a *API) getSubscription(ctx context.Context, in *subscriptionInput) (apitype.Subscription, error) {
	s, err := a.Events.Subscription(ctx, in.Name)
	return subscriptionJSON(s), err
}

func (a *API) subscribe(ctx context.Context, in *subscribeInput) (apitype.Subscription, error) {
	after := event.Oldest
	if in.Body != nil && in.Body.After != nil {
		if after = *in.Body.After; after < 0 {
			return apitype.Subscription{}, record.Errorf(record.Invalid, "not the number of an event: %d", after)
		}
	}
	if err := a.Events.Subscribe(ctx, in.Name, after); err != nil {
		return apitype.Subscription{}, err
	}
	return a.getSubscription(ctx, &subscriptionInput{in.Name})
}

func (a *API) unsubscribe(ctx context.Context, in *subscriptionInput) (apitype.Subscription, error) {
	s, err := a.Events.Subscription(ctx, in.Name)
	if err == nil {
		err = a.Events.Unsubscribe(ctx, in.Name)
	}
	return subscriptionJSON(s), err
}

func (a *API) acknowledge(ctx context.Context, in *ackInput) (apitype.Subscription, error) {
	if err := a.Events.Acknowledge(ctx, in.Name, in.Body.Seq); err != nil {
		return apitype.Subscription{}, err
	}
	return a.getSubscription(ctx, &subscriptionInput{in.Name})
}

func subscriptionJSON(s event.Standing) apitype.Subscription {
	out := apitype.Subscription{
		Name: s.Name, Acked: s.Acked, Behind: s.Behind,
		Created: time.UnixMilli(s.Created).UTC(), Updated: time.UnixMilli(s.Updated).UTC(),
	}
	if s.Behind > 0 {
		since := time.UnixMilli(s.Since).UTC()
		out.Since = &since
	}
	return out
}
