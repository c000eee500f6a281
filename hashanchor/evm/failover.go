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

// all asks every endpoint, and hears all of them: one that does not answer makes
// all fail. That something can't be is an answer, too, which all have to give;
// if only some do, they disagree. say puts what the others said into words.
func all[T any](ctx context.Context, c *Chain, ask func(ctx context.Context, e *endpoint) (T, error), say func(T) string) ([]answer[T], error) {
	var answers []answer[T]
	var denials []answer[error]
	for _, e := range c.endpoints {
		value, err := consult(ctx, e, ask)
		switch {
		case err == nil:
			answers = append(answers, answer[T]{e.name, value})
		case record.KindOf(err) == record.Invalid:
			denials = append(denials, answer[error]{e.name, err})
		case len(c.endpoints) > 1 && record.Hint(err) == "":
			return nil, record.WithHint(err, "all endpoints that are named have to answer: there is no verdict until they do, or that one is left out")
		default:
			return nil, err
		}
	}
	switch {
	case len(denials) == 0:
		return answers, nil
	case len(answers) == 0:
		return nil, denials[0].value
	}
	return nil, record.WithHint(record.Errorf(record.Conflict, "the endpoints disagree: %s says that %s; by %s that can't be: %v",
		answers[0].from, say(answers[0].value), denials[0].from, denials[0].value), hintDisagree)
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
		e.note(err == nil || !failed(err) || errors.As(err, &answered) || record.KindOf(err) == record.Refused)
	}
	return answer, err
}

// failed tells whether another endpoint may do better. All other errors are
// answers.
func failed(err error) bool {
	kind := record.KindOf(err)
	return kind == record.Unavailable || kind == record.Invalid || kind == record.Internal || kind == record.Refused
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
// if any of them may answer later, or if they differ.
func merge(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	kind := record.KindOf(errs[0])
	if kind != record.Invalid && kind != record.Refused {
		kind = record.Unavailable
	}
	var texts []string
	for _, err := range errs {
		if record.KindOf(err) != kind {
			kind = record.Unavailable
		}
		texts = append(texts, err.Error())
	}
	err := record.Errorf(kind, "no endpoint answers: %s", strings.Join(texts, "; "))
	return record.WithHint(err, record.Hint(errors.Join(errs...)))
}
