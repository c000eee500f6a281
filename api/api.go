// Package api serves the local REST API under /v1, by which applications and
// the command line use a running daemon: over a Unix socket, whose callers
// count as admin, and over TCP with bearer tokens.
//
// It never decides what happens to a document or a partner: it checks who
// calls, translates between HTTP and the rooms below, and streams. It never
// holds a document in memory, and tells no caller an internal error.
package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"dxd/api/apitype"
	"dxd/event"
	"dxd/exchange"
	"dxd/hashanchor/queue"
	"dxd/partner"
	"dxd/record"
)

// Config is what the API needs.
type Config struct {
	Exchange *exchange.Exchange
	Book     *partner.Book
	Events   *event.Log

	Version   apitype.Version
	Node      func() record.NodeID          // that serves
	Account   func() record.Account         // in use
	Addresses func() []string               // where this node can be reached
	Connected func(node record.NodeID) bool // whether a connection to it is up
	Anchoring func(ctx context.Context) (queue.Status, error)
	Prove     func(ctx context.Context, evidence []byte) ([]byte, error) // adds state proofs
	Backup    func(ctx context.Context) (func(io.Writer) error, error)   // what is given has to be called, and once
	Deploy    func(ctx context.Context, rpc string) (apitype.Deployed, error)
	Rotate    func(ctx context.Context, r apitype.RotateKey) (apitype.Rotated, error)
	// RotateStorage begins to rotate the storage key, StorageRotation tells how
	// far that is.
	RotateStorage   func(ctx context.Context) (apitype.StorageRotation, error)
	StorageRotation func(ctx context.Context) (apitype.StorageRotation, error)
	Doctor          func(ctx context.Context, partner string) ([]apitype.Check, error)
	// Authorize tells what a token allows: nothing if it is not valid. It
	// compares in constant time, or by a hash.
	Authorize func(token string) []Scope
	Log       *slog.Logger

	// Heartbeat is how long a stream of events is silent at most (15 s if 0),
	// so that a client notices that its connection is dead. Patience is how
	// long a client may take to read what was sent (30 s if 0), Linger how long
	// a body may take to come that nobody waits for (5 s if 0).
	Heartbeat, Patience, Linger time.Duration
}

// API answers requests.
type API struct {
	Config
	mux                *http.ServeMux
	specJSON, specYAML []byte        // the OpenAPI document
	streams            chan struct{} // holds a token for each stream of events
}

// New makes the API. The OpenAPI document is made here, too.
func New(c Config) (*API, error) {
	c.Heartbeat, c.Patience = orDefault(c.Heartbeat, defaultHeartbeat), orDefault(c.Patience, defaultPatience)
	c.Linger = orDefault(c.Linger, defaultLinger)
	a := &API{Config: c, mux: http.NewServeMux(), streams: make(chan struct{}, maxStreams)}
	h := humago.New(a.mux, a.settings())
	h.UseMiddleware(refineStatus, a.authorise)
	for _, r := range a.routes() {
		r.add(h, r.operation(h.OpenAPI().Components.Schemas))
	}
	var err error
	if a.specJSON, err = h.OpenAPI().MarshalJSON(); err != nil {
		return nil, record.Errorf(record.Internal, "couldn't write the OpenAPI document: %w", err)
	}
	if a.specYAML, err = h.OpenAPI().YAML(); err != nil {
		return nil, record.Errorf(record.Internal, "couldn't write the OpenAPI document: %w", err)
	}
	return a, nil
}

// settings turns off what huma brings beside the routes of the table: pages
// that load scripts from elsewhere, and links to schemas in every answer.
func (a *API) settings() huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "dxd", Version: "1",
				Description: "The local API of dxd: documents to and from partner organisations, and the evidence of them.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					securityScheme: {Type: "http", Scheme: "bearer", Description: "Over TCP. The Unix socket needs no token."},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{a.refineError},
	}
}

// Local answers on a Unix socket: whoever can open it counts as admin.
func (a *API) Local() http.Handler {
	return a.door(func(*http.Request) (caller, error) {
		return caller{known: true, scopes: []Scope{Admin}, name: bySocket}, nil
	})
}

// Remote answers on TCP, even on loopback, where every program and every web
// page of this machine may knock. names are host names by which the listener
// may be called, beside its addresses.
func (a *API) Remote(names ...string) http.Handler {
	return a.door(func(r *http.Request) (caller, error) {
		if err := checkBrowser(r, names); err != nil {
			return caller{}, err
		}
		return a.caller(r), nil
	})
}

// door lets a request in as whoever enter says.
func (a *API) door(enter func(*http.Request) (caller, error)) http.Handler {
	inside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		who, err := enter(r)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), callerKey{}, who))
		h, pattern := a.mux.Handler(r)
		if pattern == "" {
			a.noRoute(w, r, h)
			return
		}
		a.mux.ServeHTTP(w, r)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { lingerOver(w, r, inside, a.Linger) })
}
