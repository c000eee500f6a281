package evm

import (
	"context"
	"errors"
	"slices"
	"strings"

	"dxd/record"
)

// first asks the endpoints in order until one answers. Those that failed a
// short while ago come last.
func first[T any](ctx context.Context, c *Chain, ask func(ctx context.Context, e *endpoint) (T, error)) (T, error) {
	var errs []error
	for _, e := range c.inOrder() {
		answer, err := consult(ctx, e, ask)
		if err == nil || !failed(err) || ctx.Err() != nil {
			return answer, err
		}
		errs = append(errs, err)
	}
	var none T
	return none, merge(errs)
}

// all asks every endpoint. One that fails makes all fail: who asks several
// wants to hear all of them.
func all[T any](ctx context.Context, c *Chain, ask func(ctx context.Context, e *endpoint) (T, error)) ([]T, error) {
	var answers []T
	for _, e := range c.endpoints {
		answer, err := consult(ctx, e, ask)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// consult asks one endpoint, once it has shown that it is on the right chain.
func consult[T any](ctx context.Context, e *endpoint, ask func(ctx context.Context, e *endpoint) (T, error)) (T, error) {
	_, err := e.chain(ctx)
	var answer T
	if err == nil {
		answer, err = ask(ctx, e)
	}
	if ctx.Err() == nil {
		var answered nodeError
		e.note(err == nil || !failed(err) || errors.As(err, &answered))
	}
	return answer, err
}

// failed tells whether another endpoint may do better. All other errors are
// answers.
func failed(err error) bool {
	kind := record.KindOf(err)
	return kind == record.Unavailable || kind == record.Invalid || kind == record.Internal
}

func (c *Chain) inOrder() []*endpoint {
	order := slices.Clone(c.endpoints)
	slices.SortStableFunc(order, func(a, b *endpoint) int { return rank(a) - rank(b) })
	return order
}

func rank(e *endpoint) int {
	if e.ailing() {
		return 1
	}
	return 0
}

// merge makes one error of those of several endpoints. It is Unavailable
// if any of them may answer later.
func merge(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	kind := record.Invalid
	var texts []string
	for _, err := range errs {
		if record.KindOf(err) != record.Invalid {
			kind = record.Unavailable
		}
		texts = append(texts, err.Error())
	}
	err := record.Errorf(kind, "no endpoint answers: %s", strings.Join(texts, "; "))
	return record.WithHint(err, record.Hint(errors.Join(errs...)))
}
