package record

import (
	"context"
	"errors"
	"fmt"
)

// Kind says what went wrong in terms that a caller can act on. The set is
// closed and only ever appended to: it crosses the wire, and each kind maps to
// one HTTP status and one exit code.
type Kind uint8

const (
	// Internal is everything that no other kind describes.
	Internal Kind = iota
	// Invalid input: malformed, or a check on it does not hold.
	Invalid
	// NotFound: no such thing under this name.
	NotFound
	// Conflict with what is already there, such as an alias taken.
	Conflict
	// Refused by a policy, a permission, or the partner.
	Refused
	// Quota of a partner used up.
	Quota
	// Unavailable for now: something that is needed does not answer.
	Unavailable
	// Timeout: the caller's patience ended; the work goes on.
	Timeout
	// Full: no room on the disk. Nothing accepted is harmed.
	Full
	// Damaged: stored bytes do not pass their own check.
	Damaged
	// Unauthenticated: no token, or not a valid one.
	Unauthenticated
	// Unreachable: the daemon does not answer.
	Unreachable
	// Gone: it was there, and is not kept any more.
	Gone
)

var kinds = [...]struct {
	name   string
	status int // RFC 9110, section 15, and RFC 6585; numbers, to keep net/http out of what verifies
	exit   int
}{
	Internal:        {"internal", 500, 1},
	Invalid:         {"invalid", 400, 1},
	NotFound:        {"not-found", 404, 6},
	Conflict:        {"conflict", 409, 1},
	Refused:         {"refused", 403, 7},
	Quota:           {"quota", 429, 7},
	Unavailable:     {"unavailable", 503, 1},
	Timeout:         {"timeout", 504, 8},
	Full:            {"full", 507, 1},
	Damaged:         {"damaged", 422, 1},
	Unauthenticated: {"unauthenticated", 401, 7},
	Unreachable:     {"unreachable", 502, 5},
	Gone:            {"gone", 410, 6},
}

// String is the kind's name on the wire and in the API.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k].name
	}
	return kinds[Internal].name
}

// ParseKind is the inverse of String. A name that is not known, as a newer
// peer might send, is Internal.
func ParseKind(name string) Kind {
	for k := range kinds {
		if kinds[k].name == name {
			return Kind(k)
		}
	}
	return Internal
}

// Status is the HTTP status of the kind.
func (k Kind) Status() int { return kinds[ParseKind(k.String())].status }

// ExitCode is the command line's exit code for the kind.
func (k Kind) ExitCode() int { return kinds[ParseKind(k.String())].exit }

// kindError is an error that carries a kind.
type kindError struct {
	kind Kind
	err  error
}

func (e *kindError) Error() string { return e.err.Error() }
func (e *kindError) Unwrap() error { return e.err }

// Errorf formats an error of a kind. As in fmt.Errorf, %w wraps.
func Errorf(kind Kind, format string, args ...any) error {
	return &kindError{kind, fmt.Errorf(format, args...)}
}

// KindOf is the outermost kind that an error carries. An expired deadline is a
// Timeout, and any other error is Internal.
func KindOf(err error) Kind {
	var e *kindError
	if errors.As(err, &e) {
		return e.kind
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Timeout
	}
	return Internal
}

// hintError is an error with advice for the person who reads it.
type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }

// WithHint adds one sentence of advice to an error; nil stays nil.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hintError{err, hint}
}

// Hint is the advice that an error carries, or "".
func Hint(err error) string {
	var e *hintError
	if errors.As(err, &e) {
		return e.hint
	}
	return ""
}
