package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"dxd/record"
)

// Scope is what a token allows.
type Scope string

// The scopes. Admin includes the others; Send and Read do not include each other.
const (
	Send  Scope = "send"
	Read  Scope = "read"
	Admin Scope = "admin"
)

// What a route can ask for beside a scope.
const (
	public Scope = ""    // nothing: also a stranger gets an answer
	anyone Scope = "any" // a valid token, whatever its scopes
)

// caller is who makes a request.
type caller struct {
	known  bool
	scopes []Scope
	name   string
}

// What callers are called where it is kept who asked for something.
const (
	bySocket = "socket" // whoever can open it
	byToken  = "token"  // whoever has the token of the API over TCP
)

type callerKey struct{}

func callerOf(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller) // without one: a stranger
	return who
}

// may tells whether the caller may use a route of this scope.
func (c caller) may(s Scope) error {
	switch {
	case s == public:
		return nil
	case !c.known:
		return record.WithHint(record.Errorf(record.Unauthenticated, "no valid token"),
			"over TCP, send a token of this daemon (Authorization: Bearer …); for `dxd --api`, DXD_TOKEN_FILE names the file that holds it")
	case s == anyone || slices.Contains(c.scopes, s) || slices.Contains(c.scopes, Admin):
		return nil
	}
	return record.Errorf(record.Refused, "the token does not have the scope %q", s)
}

// caller reads the bearer token (RFC 6750, section 2.1).
func (a *API) caller(r *http.Request) caller {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return caller{}
	}
	scopes := a.Authorize(token)
	return caller{known: len(scopes) > 0, scopes: scopes, name: byToken}
}

const (
	securityScheme = "token"
	scopeOf        = "scope" // in an operation's metadata
)

// authorise lets through who has the scope that the route's line of the table
// asks for. A route without one is open to nobody.
func (a *API) authorise(ctx huma.Context, next func(huma.Context)) {
	scope, ok := ctx.Operation().Metadata[scopeOf].(Scope)
	if !ok {
		scope = Admin
	}
	if err := callerOf(ctx.Context()).may(scope); err != nil {
		r, w := humago.Unwrap(ctx)
		a.refuse(w, r, err)
		return
	}
	next(ctx)
}
