package api

import (
	"context"
	"net/http"
)

// backupType is the media type of a backup.
const backupType = "application/x-tar"

// backup writes one. What fails on the way ends the connection, so that nobody
// takes what came for whole; its own last entry says so, too.
func (a *API) backup(ctx context.Context, _ *none) (func(http.ResponseWriter), error) {
	write, err := a.Backup(ctx)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", backupType)
		if err := write(w); err != nil {
			a.Log.Error("a backup was not finished", "error", err)
			panic(http.ErrAbortHandler)
		}
	}, nil
}
