package record_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"dxd/record"
)

func TestKindsKeepTheirNamesStatusesAndExitCodes(t *testing.T) {
	// The set is only appended to: scripts, peers and journals rely on it.
	for k, want := range []string{
		"internal 500 1", "invalid 400 1", "not-found 404 6", "conflict 409 1", "refused 403 7", "quota 429 7",
		"unavailable 503 1", "timeout 504 8", "full 507 1", "damaged 422 1", "unauthenticated 401 7", "unreachable 502 5",
	} {
		kind := record.Kind(k)
		if got := fmt.Sprint(kind, kind.Status(), kind.ExitCode()); got != want {
			t.Errorf("kind %d is %q, not %q", k, got, want)
		}
		if record.ParseKind(kind.String()) != kind {
			t.Errorf("%s does not parse", kind)
		}
	}
	if record.ParseKind("from a newer peer") != record.Internal || record.Kind(200).String() != "internal" {
		t.Error("an unknown kind is not internal")
	}
}

func TestKindOfIsTheOutermost(t *testing.T) {
	inner := record.Errorf(record.NotFound, "no row: %w", io.EOF)
	for name, c := range map[string]struct {
		err  error
		want record.Kind
	}{
		"an error of a kind":       {inner, record.NotFound},
		"one wrapped in a kind":    {record.Errorf(record.Refused, "x: %w", inner), record.Refused},
		"one wrapped without kind": {fmt.Errorf("x: %w", inner), record.NotFound},
		"one with a hint":          {record.WithHint(inner, "h"), record.NotFound},
		"any other error":          {io.EOF, record.Internal},
		"an expired deadline":      {fmt.Errorf("x: %w", context.DeadlineExceeded), record.Timeout},
		"none":                     {nil, record.Internal},
	} {
		if got := record.KindOf(c.err); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
	if !errors.Is(record.WithHint(inner, "h"), io.EOF) {
		t.Error("what is wrapped can't be found")
	}
}

func TestHintStaysWithItsError(t *testing.T) {
	err := record.WithHint(record.Errorf(record.Invalid, "bad"), "do better")
	if got := record.Hint(fmt.Errorf("x: %w", err)); got != "do better" {
		t.Errorf("the hint is %q", got)
	}
	if err.Error() != "bad" || record.Hint(io.EOF) != "" || record.WithHint(nil, "h") != nil {
		t.Error("a hint changes more than it should")
	}
}
