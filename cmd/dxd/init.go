package main

import (
	"context"

	"github.com/spf13/cobra"

	"dxd/crypto"
	"dxd/internal/config"
	"dxd/internal/daemon"
	"dxd/internal/statedir"
	"dxd/p2p"
	"dxd/record"
)

type initJSON struct {
	Org         record.OrgID       `json:"org"`
	Name        string             `json:"name"`
	Peer        record.NodeID      `json:"peer"`
	Fingerprint record.Fingerprint `json:"fingerprint"`
	Account     record.Account     `json:"account"`
	Dir         string             `json:"dir"`
}

// initOptions is what `dxd init` is told.
type initOptions struct {
	name           string
	passphraseFile string
	noPassphrase   bool
	listen         []string
	api            string
}

func (a *app) initCommand() *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init --name NAME",
		Short: "Make the state directory: keys and configuration",
		Long: `Make the state directory of an organisation: its keys, its card and dxd.toml.

The keys are locked with a passphrase from --passphrase-file,
DXD_PASSPHRASE_FILE, DXD_PASSPHRASE, systemd's credential "dxd-passphrase", or a
prompt. Without a backup of the directory and the passphrase, nothing that is
sent to you can be opened.`,
		Example: `  dxd init --name "Acme Ltd"
  dxd init --dir /var/lib/dxd --name "Acme Ltd" --passphrase-file /etc/dxd/passphrase`,
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return o.check() },
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			return a.init(cmd.Context(), o)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.name, "name", "", "the organisation's name, as partners see it")
	flags.StringVar(&o.passphraseFile, "passphrase-file", "", "file with the passphrase that locks the keys (DXD_PASSPHRASE_FILE)")
	flags.BoolVar(&o.noPassphrase, "no-passphrase", false, "leave the keys to whoever reads the disk")
	flags.StringArrayVar(&o.listen, "listen", nil, "multiaddr to listen on for partners (repeatable)")
	flags.StringVar(&o.api, "api", "", "where local applications reach the daemon: unix:PATH or host:port")
	return cmd
}

func (a *app) init(ctx context.Context, o initOptions) error {
	path, err := a.stateDir()
	if err != nil {
		return err
	}
	content, err := o.config(path)
	if err != nil {
		return err
	}
	if err := statedir.CanCreate(path); err != nil {
		return err
	}
	var passphrase []byte
	if !o.noPassphrase {
		if passphrase, err = a.passphrase(ctx, o.passphraseFile, true); err != nil {
			return err
		}
	}
	_, keys, err := daemon.Create(ctx, path, o.name, passphrase, content)
	if err != nil {
		return err
	}
	return a.printInit(path, keys, o)
}

// check refuses what would give a broken configuration, before anything exists.
func (o initOptions) check() error {
	switch {
	case o.name == "":
		return record.WithHint(record.Errorf(record.Invalid, "--name is missing"), "--name gives the organisation's name, as partners see it")
	case o.noPassphrase && o.passphraseFile != "":
		return usagef("--no-passphrase and --passphrase-file exclude each other")
	}
	if err := record.CheckText("the organisation's name", o.name, record.MaxOrgName); err != nil {
		return err
	}
	for _, addr := range o.listen {
		if err := p2p.CheckListen(addr); err != nil {
			return err
		}
	}
	if o.api == "" {
		return nil
	}
	c := config.Default()
	return c.Set("api", o.api)
}

// config is the new directory's dxd.toml.
func (o initOptions) config(path string) (content []byte, err error) {
	content = []byte(config.Template)
	if len(o.listen) > 0 {
		if content, err = config.Edit(content, "listen", o.listen...); err != nil {
			return nil, err
		}
	}
	if o.api != "" {
		if content, err = config.Edit(content, "api", o.api); err != nil {
			return nil, err
		}
	}
	c, err := config.Parse(content)
	if err != nil {
		return nil, err
	}
	// A path that is too long for a socket is better told now than by `dxd run`.
	_, err = c.API.SocketPath(path)
	return content, err
}

func (a *app) printInit(path string, keys *crypto.Keyring, o initOptions) error {
	made := initJSON{
		Org: keys.Org(), Name: o.name, Peer: keys.Node(), Fingerprint: keys.Org().Fingerprint(),
		Account: keys.Account(), Dir: path,
	}
	err := a.print(made,
		field{"name", made.Name}, field{"fingerprint", made.Fingerprint.String()}, field{"organisation", made.Org.String()},
		field{"peer", made.Peer.String()}, field{"account", made.Account.String()}, field{"directory", made.Dir})
	if o.noPassphrase {
		a.say("keep a backup of " + path + ": without it nothing that is sent to you can be opened")
		a.say("the keys are not protected: whoever reads the disk has them, the chain account's included")
	} else {
		a.say("keep a backup of " + path + " and of its passphrase: without them nothing that is sent to you can be opened")
	}
	return err
}
