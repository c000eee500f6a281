package p2p

import (
	"context"
	"log/slog"
	"os"

	"dxd/record"

	"github.com/libp2p/go-libp2p/gologshim"
)

// RouteLogs sends what libp2p has to say to the logger, at debug level, since
// it names peers and addresses and none of it calls for action. Without it,
// libp2p writes errors to stderr in a form of its own. It also keeps quic-go
// from printing its remark on UDP buffers, which New logs.
//
// Both are settings of those libraries for the whole process: a program calls
// this once, before the first host. Tests need not.
func RouteLogs(log *slog.Logger) error {
	gologshim.SetDefaultHandler(demoted{log.Handler()})
	if err := os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true"); err != nil {
		return record.Errorf(record.Internal, "couldn't quiet quic-go: %w", err)
	}
	return nil
}

// demoted handles every record as one of debug level.
type demoted struct{ slog.Handler }

func (d demoted) Enabled(ctx context.Context, _ slog.Level) bool {
	return d.Handler.Enabled(ctx, slog.LevelDebug)
}

func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return d.Handler.Handle(ctx, r)
}

func (d demoted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoted{d.Handler.WithAttrs(attrs)}
}

func (d demoted) WithGroup(name string) slog.Handler { return demoted{d.Handler.WithGroup(name)} }
