package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"dxd/api/apitype"
	"dxd/record"
)

// failure is a Problem as huma wants an error to be.
type failure struct{ apitype.Problem }

func (f *failure) Error() string             { return f.Detail }
func (f *failure) GetStatus() int            { return f.Status }
func (f *failure) ContentType(string) string { return apitype.ProblemType }

// failure says what the caller may know of an error; what is internal is only
// logged.
func (a *API) failure(ctx context.Context, err error) *failure {
	if errors.Is(err, context.Canceled) && isDraining(ctx) {
		err = record.WithHint(record.Errorf(record.Unavailable, "the daemon is stopping"), "try again when it runs")
	}
	kind := record.KindOf(err)
	f := &failure{apitype.Problem{
		Title: http.StatusText(kind.Status()), Status: kind.Status(), Detail: err.Error(), Kind: kind.String(), Hint: record.Hint(err),
	}}
	if kind == record.Internal {
		f.Detail, f.Hint = "the daemon failed to do this", "its log says why"
		if ctx.Err() == nil { // otherwise the caller has gone, and nothing failed
			a.Log.Error("a request failed", "error", err)
		}
	}
	return f
}

// refuse answers with an error from outside huma.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	a.write(w, a.failure(r.Context(), err))
}

func (a *API) write(w http.ResponseWriter, f *failure) {
	if f.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer") // RFC 6750, section 3
	}
	w.Header().Set("Content-Type", apitype.ProblemType)
	w.WriteHeader(f.Status)
	if err := json.NewEncoder(w).Encode(f.Problem); err != nil {
		a.Log.Debug("couldn't send an error", "error", err)
	}
}

// noRoute answers where the mux knows no route, or not with this method.
func (a *API) noRoute(w http.ResponseWriter, r *http.Request, h http.Handler) {
	probe := &statusProbe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if probe.status != http.StatusMethodNotAllowed {
		a.refuse(w, r, record.WithHint(record.Errorf(record.NotFound, "no such route"), apitype.Prefix+"/openapi.json lists them"))
		return
	}
	w.Header().Set("Allow", probe.header.Get("Allow"))
	f := a.failure(r.Context(), record.Errorf(record.Invalid, "the method %s is not allowed here", record.Printable(r.Method, 20)))
	f.Status, f.Title = probe.status, http.StatusText(probe.status)
	a.write(w, f)
}

// statusProbe takes the status and the headers of an answer and drops the rest.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }

// humaContext has a name of its own because huma.Context has a method Context.
type humaContext = huma.Context

// refinedContext lets refineError choose the status of an error of huma's own.
type refinedContext struct {
	humaContext
	status int
}

// Unwrap is how humago finds the request behind it.
func (c *refinedContext) Unwrap() huma.Context { return c.humaContext }

func (c *refinedContext) SetStatus(status int) {
	if c.status != 0 {
		status = c.status
	}
	c.humaContext.SetStatus(status)
}

func refineStatus(ctx huma.Context, next func(huma.Context)) {
	next(&refinedContext{humaContext: ctx})
}

// refineError turns an error of huma's own, about a request that does not
// validate, into a Problem of ours. What was sent is not echoed.
func (a *API) refineError(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	var details []string
	for _, d := range model.Errors {
		details = append(details, strings.TrimPrefix(d.Location+": "+d.Message, ": "))
	}
	if len(details) == 0 {
		details = append(details, model.Detail)
	}
	err := record.Errorf(record.Invalid, "the request is not valid: %s", record.Printable(strings.Join(details, "; "), 1000))
	if model.Status >= http.StatusInternalServerError {
		err = errors.New(strings.Join(details, "; "))
	}
	f := a.failure(ctx.Context(), err)
	switch model.Status { // these say more than the kind does
	case http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		f.Status, f.Title = model.Status, http.StatusText(model.Status)
	}
	if refined, ok := ctx.(*refinedContext); ok {
		refined.status = f.Status
	}
	return f.Problem, nil
}
