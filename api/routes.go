package api

import (
	"context"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"dxd/api/apitype"
	"dxd/hashanchor"
)

// route is one line of the table of all routes.
type route struct {
	scope    Scope
	method   string
	path     string
	id       string // of the operation, for generated clients
	summary  string
	add      func(huma.API, huma.Operation)
	status   int    // of success; 200 if zero
	produces string // media type of the answer where it is not JSON
	consumes bool   // takes a document as the raw body
	body     string // what the raw body is where it is no document
}

// routes is the table. Each line says what a caller needs to get through.
func (a *API) routes() []route {
	return []route{
		{scope: public, method: "GET", path: "/health", id: "health", summary: "Whether the daemon is ready", add: answer(a, a.health)},
		{scope: anyone, method: "GET", path: "/version", id: "version", summary: "Which program runs", add: answer(a, a.version)},
		{scope: anyone, method: "GET", path: "/openapi.json", id: "openapi-json", summary: "This document", add: file(a, a.openapiJSON), produces: "application/vnd.oai.openapi+json"},
		{scope: anyone, method: "GET", path: "/openapi.yaml", id: "openapi-yaml", summary: "This document", add: file(a, a.openapiYAML), produces: "application/vnd.oai.openapi"},
		{scope: Read, method: "GET", path: "/self", id: "self", summary: "This organisation and this node", add: answer(a, a.self)},
		{scope: Read, method: "GET", path: "/card", id: "card", summary: "The card file to hand over to a partner", add: file(a, a.card), produces: "application/json"},

		{scope: Admin, method: "POST", path: "/card/renew", id: "renew-card", summary: "Sign a new card, and answer with the card file; partners take it from the next hello", add: file(a, a.renewCard), produces: "application/json"},
		{scope: Admin, method: "POST", path: "/keys/rotate", id: "rotate-key", summary: "Draw a new key of a role, and sign a card with it", add: answer(a, a.rotateKey)},

		{scope: Admin, method: "POST", path: "/keys/storage/rotate", id: "rotate-storage-key", summary: "Begin to seal all that is kept under a new storage key, and to destroy the one of before; one that is under way goes on", add: answer(a, a.rotateStorage)},
		{scope: Admin, method: "GET", path: "/keys/storage", id: "storage-key", summary: "How far a rotation of the storage key is", add: answer(a, a.storageRotation)},
		{scope: Read, method: "GET", path: "/partners", id: "list-partners", summary: "All partners by alias", add: answer(a, a.listPartners)},
		{scope: Read, method: "GET", path: "/partners/{alias}/card", id: "partner-card", summary: "A partner's newest card as a file, with the proof of its anchor if that is here", add: file(a, a.partnerCard), produces: "application/json"},
		{scope: Admin, method: "POST", path: "/partners", id: "add-partner", summary: "Accept a card, or a newer card of a known partner", add: answer(a, a.addPartner)},
		{scope: Read, method: "GET", path: "/partners/{alias}", id: "get-partner", summary: "One partner", add: answer(a, a.getPartner)},
		{scope: Admin, method: "DELETE", path: "/partners/{alias}", id: "remove-partner", summary: "Remove a partner; what is queued for it fails, records stay", add: answer(a, a.removePartner)},
		{scope: Admin, method: "PUT", path: "/partners/{alias}/quota", id: "set-quota", summary: "Give a partner bounds of its own, in the place of those that it had", add: answer(a, a.setQuota)},
		{scope: Admin, method: "POST", path: "/partners/{alias}/suspend", id: "suspend-partner", summary: "Shut a partner out at once", add: answer(a, a.suspendPartner)},
		{scope: Admin, method: "POST", path: "/partners/{alias}/resume", id: "resume-partner", summary: "Let a suspended partner in again", add: answer(a, a.resumePartner)},
		{scope: Admin, method: "POST", path: "/pairings", id: "pair", summary: "Become partners by a ticket: one JSON value a line, until both sides have said yes; ends with the connection", add: stream(a, a.pair), produces: pairingType},
		{scope: Admin, method: "POST", path: "/pairings/{id}/answer", id: "answer-pairing", summary: "Say yes or no to the other side's card", add: answer(a, a.answerPairing)},

		{scope: Send, method: "POST", path: "/transfers", id: "send", summary: "Send the document in the body to one or more partners", add: answer(a, a.send), status: http.StatusCreated, consumes: true},
		{scope: Send, method: "POST", path: "/messages", id: "send-message", summary: "Send the message in the body, of at most 16 MiB, to one or more partners, behind all that were sent before", add: answer(a, a.sendMessage), status: http.StatusCreated, consumes: true},
		{scope: Read, method: "GET", path: "/transfers", id: "list-transfers", summary: "Transfers, newest first", add: answer(a, a.listTransfers)},
		{scope: Read, method: "GET", path: "/transfers/{id}", id: "get-transfer", summary: "One transfer or notarisation; with wait, once it has come that far", add: answer(a, a.getTransfer)},
		{scope: Send, method: "POST", path: "/transfers/{id}/cancel", id: "cancel", summary: "Stop a transfer that is not delivered", add: answer(a, a.cancel)},
		{scope: Admin, method: "POST", path: "/transfers/{id}/erase", id: "erase", summary: "Destroy what a transfer or notarisation carried, here: payload, key and opening; records and proofs are kept", add: answer(a, a.erase)},
		{scope: Admin, method: "POST", path: "/transfers/{id}/refuse-erase", id: "refuse-erase", summary: "Say no to a partner's request to erase; it gets a signed answer", add: answer(a, a.refuseErase)},
		{scope: Read, method: "GET", path: "/transfers/{id}/erasure", id: "erasure", summary: "The partner's signed answer to our request to erase", add: file(a, a.erasure), produces: "application/json"},
		{scope: Admin, method: "POST", path: "/transfers/{id}/hold", id: "hold", summary: "Keep a transfer from being erased, by retention too", add: answer(a, a.hold)},
		{scope: Admin, method: "POST", path: "/transfers/{id}/release", id: "release", summary: "End a hold", add: answer(a, a.release)},
		{scope: Admin, method: "POST", path: "/transfers/{id}/check", id: "check", summary: "Read the payload that is kept, and compare it with what was signed", add: answer(a, a.check)},
		{scope: Send, method: "POST", path: "/transfers/{id}/accept", id: "accept", summary: "Accept what was received, for good; the sender gets a signed receipt that says so", add: answer(a, a.accept), consumes: true, body: applicationBody},
		{scope: Send, method: "POST", path: "/transfers/{id}/refuse", id: "refuse", summary: "Refuse what was received, for good; the sender gets a signed receipt that says so", add: answer(a, a.refuseTransfer), consumes: true, body: applicationBody},
		{scope: Read, method: "GET", path: "/transfers/{id}/content", id: "content", summary: "The document, hashed again before its last bytes are released; HEAD and single ranges, too", add: stream(a, a.content), produces: "application/octet-stream"},
		{scope: Read, method: "GET", path: "/transfers/{id}/evidence", id: "evidence", summary: "The evidence file", add: file(a, a.evidence), produces: hashanchor.EvidenceType},

		{scope: Send, method: "POST", path: "/notarizations", id: "notarize", summary: "Anchor a salted commitment to the document in the body", add: answer(a, a.notarize), status: http.StatusCreated, consumes: true},

		{scope: Read, method: "GET", path: "/events", id: "events", summary: "What happened, the oldest first; as a stream of server-sent events if Accept says text/event-stream", add: a.addEvents, produces: apitype.EventStreamType},
		{scope: Read, method: "GET", path: "/events/subscriptions", id: "list-subscriptions", summary: "All subscriptions, those furthest behind first", add: answer(a, a.listSubscriptions)},
		{scope: Read, method: "GET", path: "/events/subscriptions/{name}", id: "get-subscription", summary: "One subscription", add: answer(a, a.getSubscription)},
		{scope: Admin, method: "PUT", path: "/events/subscriptions/{name}", id: "subscribe", summary: "Make a subscription; one that is there stays as it is", add: answer(a, a.subscribe)},
		{scope: Admin, method: "DELETE", path: "/events/subscriptions/{name}", id: "unsubscribe", summary: "Remove a subscription; its stream ends", add: answer(a, a.unsubscribe)},
		{scope: Read, method: "POST", path: "/events/subscriptions/{name}/ack", id: "acknowledge", summary: "Be done with all events up to one", add: answer(a, a.acknowledge)},

		{scope: Read, method: "GET", path: "/anchor", id: "anchor-status", summary: "How far records have come on the chain", add: answer(a, a.anchorStatus)},
		{scope: Admin, method: "POST", path: "/anchor/deploy", id: "deploy-anchor", summary: "Deploy the contract and wait until it is included", add: answer(a, a.deployAnchor)},
		{scope: Admin, method: "GET", path: "/backup", id: "backup", summary: "A backup of the state directory, whole or cut off", add: stream(a, a.backup), produces: backupType},
		{scope: Admin, method: "GET", path: "/doctor", id: "doctor", summary: "Check the daemon and its surroundings", add: answer(a, a.doctor)},
	}
}

// operation is the line as huma and the OpenAPI document have it.
func (r route) operation(schemas huma.Registry) huma.Operation {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	op := huma.Operation{
		OperationID: r.id, Method: r.method, Path: apitype.Prefix + r.path, Summary: r.summary, DefaultStatus: r.status,
		Security: []map[string][]string{},
		Metadata: map[string]any{scopeOf: r.scope},
		// A deadline for the body would outlive it, and end the answer.
		BodyReadTimeout: -1,
		Responses: map[string]*huma.Response{
			strconv.Itoa(r.status): {Description: http.StatusText(r.status)},
			"default": {Description: "Error", Content: map[string]*huma.MediaType{
				apitype.ProblemType: {Schema: schemas.Schema(reflect.TypeFor[apitype.Problem](), true, "Problem")},
			}},
		},
	}
	if r.scope != public {
		op.Security = append(op.Security, map[string][]string{securityScheme: {string(r.scope)}})
	}
	binary := &huma.MediaType{Schema: &huma.Schema{Type: "string", Format: "binary"}}
	if r.produces != "" {
		op.Responses[strconv.Itoa(r.status)].Content = map[string]*huma.MediaType{r.produces: binary}
	}
	if r.consumes {
		if r.body == "" {
			r.body = "The document as it is, of any length; its Content-Type is its media type"
		}
		op.RequestBody = &huma.RequestBody{
			Description: r.body,
			Content:     map[string]*huma.MediaType{"application/octet-stream": binary},
		}
	}
	return op
}

// result is an answer of JSON.
type result[T any] struct{ Body T }

// answer registers a handler whose answer is JSON.
func answer[I, O any](a *API, h func(context.Context, *I) (O, error)) func(huma.API, huma.Operation) {
	return func(api huma.API, op huma.Operation) {
		huma.Register(api, op, func(ctx context.Context, in *I) (*result[O], error) {
			out, err := h(ctx, in)
			if err != nil {
				return nil, a.failure(ctx, err)
			}
			return &result[O]{out}, nil
		})
	}
}

// document is an answer of a few bytes that go out as they are.
type document struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// file registers a handler whose answer is a small file. Its media type is the
// one in the table.
func file[I any](a *API, h func(context.Context, *I) ([]byte, error)) func(huma.API, huma.Operation) {
	return func(api huma.API, op huma.Operation) {
		var mediaType string
		for mediaType = range op.Responses[strconv.Itoa(op.DefaultStatus)].Content { // the only one
		}
		huma.Register(api, op, func(ctx context.Context, in *I) (*document, error) {
			out, err := h(ctx, in)
			if err != nil {
				return nil, a.failure(ctx, err)
			}
			return &document{mediaType, out}, nil
		})
	}
}

// stream registers a handler that writes its answer itself, once it has found
// no error.
func stream[I any](a *API, h func(context.Context, *I) (func(http.ResponseWriter), error)) func(huma.API, huma.Operation) {
	return func(api huma.API, op huma.Operation) {
		huma.Register(api, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
			write, err := h(ctx, in)
			if err != nil {
				return nil, a.failure(ctx, err)
			}
			return &huma.StreamResponse{Body: func(c huma.Context) {
				_, w := humago.Unwrap(c)
				write(w)
			}}, nil
		})
	}
}

// request gives a handler the request itself, for its headers and its body,
// which huma then leaves alone.
type request struct{ r *http.Request }

// Resolve is called by huma before the handler.
func (q *request) Resolve(ctx huma.Context) []error {
	q.r, _ = humago.Unwrap(ctx)
	return nil
}
