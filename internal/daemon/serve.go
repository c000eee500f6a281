package daemon

import (
	"context"
	"net"

	"dxd/api"
	"dxd/api/apitype"
	"dxd/hashanchor/evm"
	"dxd/hashanchor/queue"
)

// serveAPI answers on the Unix socket, and on host:port if one is configured.
func (d *Daemon) serveAPI(ctx context.Context) error {
	a, err := d.newAPI()
	if err != nil {
		return err
	}
	socket, err := d.Config.API.SocketPath(d.Dir.Path())
	if err != nil {
		return err
	}
	local, err := api.Listen("unix:" + socket)
	if err != nil {
		return err
	}
	d.serve("the API's socket", ctx, local, api.Server{Handler: a.Local(), Log: d.log})
	if d.Config.API.TCP == "" {
		return nil
	}
	remote, err := api.Listen(d.Config.API.TCP)
	if err != nil {
		return err
	}
	d.serve("the API", ctx, remote, api.Server{
		Handler: a.Remote(hostNames(d.Config.API.TCP)...), Log: d.log, Connections: api.MaxStrangers,
	})
	return nil
}

// hostNames is the name in host:port, if it is one: clients that call the API
// by an address need none.
func hostNames(hostPort string) []string {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil || net.ParseIP(host) != nil {
		return nil
	}
	return []string{host}
}

func (d *Daemon) serve(part string, ctx context.Context, l net.Listener, s api.Server) {
	d.run(part, ctx, func(ctx context.Context) error { return s.Serve(ctx, l) })
}

func (d *Daemon) newAPI() (*api.API, error) {
	tokens, err := d.tokens()
	if err != nil {
		return nil, err
	}
	b := d.options.Build
	return api.New(api.Config{
		Exchange: d.Exchange, Book: d.Book, Events: d.Events,
		Version: apitype.Version{Version: b.Version, Commit: b.Commit, Go: b.Go},
		Node:    d.Keys.Node, Account: d.Keys.Account, Addresses: d.Host.Addrs, Connected: d.Host.Connected,
		Anchoring: func(ctx context.Context) (queue.Status, error) { return d.Queue().Status(ctx) },
		Prove:     func(ctx context.Context, file []byte) ([]byte, error) { return d.Queue().Prove(ctx, file) },
		Backup:    d.Backup,
		Deploy:    d.deploy, Rotate: d.Rotate, RotateStorage: d.RotateStorage, StorageRotation: d.StorageRotation, Doctor: d.doctor, Authorize: tokens.authorize, Log: d.log,
	})
}

func (d *Daemon) deploy(ctx context.Context, rpc string) (apitype.Deployed, error) {
	made, err := d.Deploy(ctx, rpc)
	return deployed(made), err
}

func (d *Daemon) doctor(ctx context.Context, partner string) ([]apitype.Check, error) {
	return d.Examine(ctx, partner)
}

// deployed is a deployment as the API tells of it.
func deployed(made evm.Deployment) apitype.Deployed {
	return apitype.Deployed{Contract: made.Contract, ChainID: made.ChainID, Account: made.Account, Tx: made.Tx}
}
